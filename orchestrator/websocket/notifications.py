"""The socket of a person's notifications: one log a user, by offsets and an epoch of its own."""

from contextlib import AbstractContextManager

from attrs import evolve, frozen
from quart import Websocket

from orchestrator.errors import NotFound
from orchestrator.middleware.exchange import Exchange
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.events.events import Event
from orchestrator.models.events.notification import NotificationSummary
from orchestrator.services.container import Services
from orchestrator.services.subjects import Subject
from orchestrator.store.events.notifications import NotificationLog
from orchestrator.websocket.connection import Connection
from orchestrator.websocket.opening import SessionSocket


class NotificationSubject:
    """What a user is notified of: what waits is summed up at first, so nothing is missing where events are lost.

    Args:
        services: the application.
        user_id: who is notified.
    """

    converses = False
    task_id = None

    def __init__(self, services: Services, user_id: str) -> None:
        self.log = services.notification_log
        self.owner_id = NotificationLog.followed(user_id)
        self._services = services
        self._summary: NotificationSummary | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See what waits; this also brings the user's log up to date, and begins it where there is none."""
        notifications = self._services.notifications
        self._summary = await notifications.summary(ctx.tenant_id, ctx.principal.user_id, recovered=True)

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Return what waits."""
        if self._summary is None:
            raise NotFound("There are no notifications.")
        return [("notification.summary", evolve(self._summary, recovered=recovered))]

    async def beginning(self) -> None:
        """Begin at the end."""

    def over(self) -> str | None:
        """Say nothing: there may always be more."""
        return None

    def ending(self, event: Event) -> str | None:
        """Say nothing: there may always be more."""
        return None


@frozen
class NotificationSocket(SessionSocket):
    """Opens and serves the sockets of notifications: each follows those of its token's user."""

    async def _subject(self, ctx: RequestContext, session_id: str) -> Subject:
        subject = NotificationSubject(self.services, ctx.principal.user_id)
        # Only what is there can be followed.
        await subject.look(ctx)
        return subject

    async def _principal(self, websocket: Websocket, exchange: Exchange, session_id: str | None) -> Principal:
        # A ticket for whatever says who comes, which is all that is asked here.
        return await super()._principal(websocket, exchange, None)

    def _audience(self, connection: Connection) -> AbstractContextManager[None]:
        hub = self.services.notification_hub
        return hub.following(connection.tenant_id, connection.principal.user_id)
