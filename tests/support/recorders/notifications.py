"""Notifications without a store, for tests of what the HTTP side alone decides."""

from typing import Any

from attrs import evolve

from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.notification import Notification, NotificationLevel, NotificationSend, NotificationSent

NOW, LATER = "2026-01-01T00:00:00.000Z", "2026-01-08T00:00:00.000Z"
ONE = Notification("n1", "Maintenance", "At noon.", NotificationLevel.INFO, NOW, LATER)


class FakeNotifications:
    async def send(self, ctx: RequestContext, request: NotificationSend) -> tuple[NotificationSent, bool]:
        return NotificationSent("n1", LATER, None if request.user_ids is None else len(request.user_ids)), False

    async def list(self, ctx: RequestContext, user_id: str, **wanted: Any) -> Page[Notification]:
        return Page([ONE])

    async def acknowledge(self, ctx: RequestContext, notification_id: str) -> Notification:
        if notification_id != "n1":
            raise NotFound(f"There is no notification {notification_id}.")
        return evolve(ONE, acknowledged_at=NOW)
