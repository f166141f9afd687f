"""Notifications: sent by services, read and acknowledged by people."""

import builtins
import hashlib
from functools import partial
from typing import Final

import trio
from attrs import frozen

from orchestrator.codec import encode
from orchestrator.errors import InvalidBody, NotFound
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import SystemNotification
from orchestrator.models.events.notification import (
    Notification,
    NotificationAcknowledged,
    NotificationSend,
    NotificationSent,
    NotificationSummary,
)
from orchestrator.services.shared.paging import filtered_page
from orchestrator.services.shared.views import key_reused
from orchestrator.store.events.feed import Reference
from orchestrator.store.events.frames import make_body
from orchestrator.store.events.notifications import NotificationSendVerdict, NotificationStore, Posted

MOST_DATA: Final = 16 * 1024
"""Bytes that the free fields of a notification may take as JSON."""
AT_ONCE: Final = 50
"""Users that are told at once."""
NAMED: Final = 100
"""Users of a notification that those who follow the tenant are told by name."""
SUMMED_UP: Final = 50
"""Notifications that a summary shows."""


@frozen
class NotificationService:
    """Sends, lists and acknowledges notifications. Everybody sees only those that are for oneself."""

    store: NotificationStore

    async def send(self, ctx: RequestContext, request: NotificationSend) -> tuple[NotificationSent, bool]:
        """Keep a notification for its users, and tell their sockets.

        A request that is repeated with its idempotency key reaches also those whom it did not reach before.

        Returns:
            What was sent, and whether an earlier request with the same idempotency key had sent it.

        Raises:
            InvalidBody: its free fields are too large.
            IdempotencyKeyReused
        """
        if len(encode(request.data)) > MOST_DATA:
            fault = FieldFault("$.data.data", f"must take at most {MOST_DATA} bytes as JSON")
            raise InvalidBody(f"{fault.path} {fault.message}.", details=[fault])
        users = None if request.user_ids is None else sorted(set(request.user_ids))
        posted = _posted(ctx, request)
        verdict, posted = await self.store.send(
            ctx.tenant_id,
            posted,
            sender=ctx.principal.user_id,
            idempotency_key=ctx.idempotency_key or ctx.message_id,
            digest=hashlib.sha256(b"notification.send" + encode(request)).hexdigest(),
            wide=users is None,
            told=_told(posted, request, users),
        )
        if verdict is NotificationSendVerdict.REUSED:
            raise key_reused()
        if users is not None:
            await self.store.note_recipients(ctx.tenant_id, users, posted)
            await self._notify(ctx.tenant_id, users, posted)
        told = None if users is None else len(users)
        sent = NotificationSent(posted.notification_id, to_timestamp(posted.expires_ms), told)
        return sent, verdict is NotificationSendVerdict.REPLAYED

    async def list(
        self, ctx: RequestContext, user_id: str, *, unacknowledged: bool, cursor: str | None, limit: int
    ) -> Page[Notification]:
        """List a user's notifications, the newest first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        tenant_id = ctx.tenant_id
        await self.store.collect(tenant_id, user_id)
        return await filtered_page(
            partial(self.store.page, tenant_id, user_id),
            partial(self.store.load, tenant_id, user_id),
            lambda one: not (unacknowledged and one.acknowledged_at),
            cursor=cursor,
            limit=limit,
        )

    async def acknowledge(self, ctx: RequestContext, notification_id: str) -> Notification:
        """Note that the caller has read a notification; the first time counts.

        Raises:
            NotFound: the caller has no such notification, or it has expired.
        """
        return await self._acknowledge(ctx, ctx.principal.user_id, notification_id)

    async def acknowledge_for(self, ctx: RequestContext, notification_id: str, user_id: str | None) -> Notification:
        """Note the same on behalf of a user; None: of those to whom it was sent.

        Raises:
            NotFound: there is no such notification, or it went to the whole tenant and no user is named.
        """
        users = [user_id] if user_id else await self.store.recipients(ctx.tenant_id, notification_id)
        found: Notification | None = None
        for one in users:
            found = await self._acknowledge(ctx, one, notification_id)
        if found is None:
            raise NotFound(f"There is no notification {notification_id} to one user.")
        return found

    async def _acknowledge(self, ctx: RequestContext, user_id: str, notification_id: str) -> Notification:
        moment = now_ms()
        data = NotificationAcknowledged(notification_id, to_timestamp(moment))
        body = make_body("notification.acknowledged", data, tenant_id=ctx.tenant_id, correlation_id=ctx.correlation_id)
        found = await self.store.acknowledge(ctx.tenant_id, user_id, notification_id, moment_ms=moment, body=body)
        if found is None:
            raise NotFound(f"There is no notification {notification_id}.")
        return found

    async def summary(self, tenant_id: str, user_id: str, *, recovered: bool) -> NotificationSummary:
        """Sum up what waits for a user."""
        waiting = await self.store.collect(tenant_id, user_id)
        page = await filtered_page(
            partial(self.store.page, tenant_id, user_id),
            partial(self.store.load, tenant_id, user_id),
            lambda one: one.acknowledged_at is None,
            cursor=None,
            limit=SUMMED_UP,
        )
        return NotificationSummary(waiting, page.items, recovered)

    async def _notify(self, tenant_id: str, users: builtins.list[str], posted: Posted) -> None:
        for start in range(0, len(users), AT_ONCE):
            async with trio.open_nursery() as nursery:
                for user_id in users[start : start + AT_ONCE]:
                    nursery.start_soon(self.store.notify, tenant_id, user_id, posted)


def _posted(ctx: RequestContext, request: NotificationSend) -> Posted:
    created, notification_id = now_ms(), new_id()
    expires = created + request.expires_in_seconds * 1000
    told = SystemNotification(
        request.title,
        request.message,
        request.level,
        notification_id,
        request.data,
        to_timestamp(created),
        to_timestamp(expires),
    )
    body = make_body("system.notification", told, tenant_id=ctx.tenant_id, correlation_id=ctx.correlation_id)
    return Posted(notification_id, body, created, expires)


def _told(posted: Posted, request: NotificationSend, users: list[str] | None) -> Reference:
    """Return what those who follow the tenant are told: all but the free fields, which are for clients."""
    to = {"users": None} if users is None else {"users": len(users), "user_ids": users[:NAMED]}
    data = {"notification_id": posted.notification_id, "title": request.title, "message": request.message, **to}
    data |= {"level": request.level, "expires_at": to_timestamp(posted.expires_ms)}
    user_id = users[0] if users is not None and len(users) == 1 else None
    return Reference(
        "notification", posted.notification_id, user_id=user_id, at=to_timestamp(posted.created_ms), data=data
    )
