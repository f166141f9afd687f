"""Notifications in Redis: each user's own, those to the whole tenant among them, and each user's event log."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from functools import partial
from typing import Any, Final

import orjson
from attrs import evolve, frozen

from orchestrator.codec import structure_kept
from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.events.notification import Notification
from orchestrator.store.contents import EVENT, Contents
from orchestrator.store.events.events import EventLog
from orchestrator.store.events.feed import Reference
from orchestrator.store.records import readable, reading
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, descending

_SEND: Final = Script("notifications/send_notification")
_NOTIFY: Final = Script("notifications/notify_user")
_COLLECT: Final = Script("notifications/collect_notifications")
_ACKNOWLEDGE: Final = Script("notifications/acknowledge_notification")
EVERYBODY: Final = "*"
"""Stands for all users where one is named on the channel; no user is called so."""
_LOG: Final = "notifications:"


class NotificationSendVerdict(StrEnum):
    """What `send` decided."""

    OK = "ok"
    REPLAYED = "replayed"
    """The same request has brought it before."""
    REUSED = "reused"
    """The idempotency key came with another request."""


@frozen
class Posted:
    """A notification as it was taken in."""

    notification_id: str
    body: bytes
    """Of `system.notification`."""
    created_ms: int
    expires_ms: int


@frozen
class Notified:
    """A notification as it is told to all processes."""

    tenant_id: str
    user_id: str
    """Of the user, or `EVERYBODY`."""
    body: bytes
    """Of `system.notification`."""


class NotificationStore(TenantStore):
    """Keeps notifications."""

    async def send(
        self,
        tenant_id: str,
        posted: Posted,
        *,
        sender: str,
        idempotency_key: str | None,
        digest: str,
        wide: bool,
        told: Reference,
    ) -> tuple[NotificationSendVerdict, Posted]:
        """Take a notification in; where it is for the whole tenant (`wide`), nothing more has to be done.

        The feed of the tenant is told of it (`told`) where it comes for the first time.

        Returns:
            The verdict, and the notification: where it was taken in before, that one.
        """
        reply = await self.run(
            _SEND,
            tenant_id,
            posted.notification_id,
            digest,
            "1" if idempotency_key else "0",
            IDEMPOTENCY_SECONDS,
            "1" if wide else "0",
            self.contents.seal(tenant_id, EVENT, posted.body),
            posted.created_ms,
            posted.expires_ms,
            self.keys.notification_channel,
            self.contents.seal(tenant_id, EVENT, told.body()),
            keys=[self.keys.idempotency(tenant_id, sender, idempotency_key or "")],
        )
        verdict = NotificationSendVerdict(reply[0].decode())
        if verdict is NotificationSendVerdict.REUSED:
            return verdict, posted
        with reading("notification", "of a repeated request"):
            notification_id, body, expires, created = reply[1:]
            opened = self.contents.open(tenant_id, EVENT, body)
            to_timestamp(int(expires))  # raises where it is no moment
            return verdict, Posted(notification_id.decode(), opened, int(created), int(expires))

    async def notify(self, tenant_id: str, user_id: str, posted: Posted) -> bool:
        """Give a notification to one user; false where the user has it already."""
        reply = await self.run(
            _NOTIFY,
            tenant_id,
            user_id,
            _epoch(),
            posted.notification_id,
            self.contents.seal(tenant_id, EVENT, posted.body),
            posted.created_ms,
            posted.expires_ms,
            self.keys.notification_channel,
        )
        return bool(reply)

    async def note_recipients(self, tenant_id: str, users: Sequence[str], posted: Posted) -> None:
        """Note to whom a notification goes, for services that acknowledge it on their behalf."""
        if users:
            key = self.keys.notification(tenant_id, posted.notification_id)
            await self.redis.gather([("SADD", key, *users), ("PEXPIREAT", key, posted.expires_ms)])

    async def recipients(self, tenant_id: str, notification_id: str) -> list[str]:
        """Return the users to whom a notification was sent; none where it went to the whole tenant."""
        found = await self.redis.smembers(self.keys.notification(tenant_id, notification_id))
        return sorted(user_id.decode(errors="replace") for user_id in found)

    async def collect(self, tenant_id: str, user_id: str) -> int:
        """Bring a user's notifications up to date; returns how many are not acknowledged."""
        unacknowledged: int = await self.run(_COLLECT, tenant_id, user_id, _epoch())
        return unacknowledged

    def follow(self) -> AbstractAsyncContextManager[Announcements[Notified]]:
        """Follow notifications as they are given; what is for everybody has to be collected for each user."""
        return follow_channel(self.redis, self.keys.notification_channel, partial(_read_notified, self.contents))

    async def acknowledge(
        self, tenant_id: str, user_id: str, notification_id: str, *, moment_ms: int, body: bytes
    ) -> Notification | None:
        """Note that a user has read a notification; returns it, or None where the user has no such one.

        Args:
            tenant_id: whose user.
            user_id: who has read.
            notification_id: what.
            moment_ms: when.
            body: of `notification.acknowledged`.
        """
        reply = await self.run(_ACKNOWLEDGE, tenant_id, user_id, _epoch(), notification_id, moment_ms, body)
        return self._read_row(tenant_id, (notification_id, *reply))[1] if reply else None

    async def page(
        self, tenant_id: str, user_id: str, *, before: tuple[int, str] | None, count: int
    ) -> list[tuple[int, str]]:
        """List the (moment in ms, id) of a user's notifications, the newest first."""
        order = f"{self.keys.user_notifications(tenant_id, user_id)}:order"
        return await descending(self.redis, order, before, count)

    async def load(self, tenant_id: str, user_id: str, ids: Sequence[str]) -> dict[str, Notification]:
        """Return a user's notifications by id; those that have expired are left out."""
        if not ids:
            return {}
        reader = self.keys.user_notifications(tenant_id, user_id)
        commands = [("HMGET", f"{reader}:{part}", *ids) for part in ("bodies", "acks")]
        bodies, acks = await self.redis.gather(commands)
        rows = [(name, body, ack) for name, body, ack in zip(ids, bodies, acks, strict=True) if body]
        return dict(readable(partial(self._read_row, tenant_id), rows))

    def _read_row(self, tenant_id: str, row: tuple[str, bytes, bytes | None]) -> tuple[str, Notification]:
        name, body, acknowledged = row
        with reading("notification", name):
            return name, _read(self.contents.open(tenant_id, EVENT, body), acknowledged)


class NotificationLog(EventLog):
    """Reads the event logs of users; `followed` is how they are named."""

    @staticmethod
    def followed(user_id: str) -> str:
        """Return the name under which a user's log is followed: none that a session could have."""
        return _LOG + user_id

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.user_notifications(tenant_id, owner_id.removeprefix(_LOG))


def _read(body: bytes, acknowledged: bytes | None) -> Notification:
    told: dict[str, Any] = orjson.loads(body)["data"]
    notification = structure_kept(told, Notification)
    return (
        notification if acknowledged is None else evolve(notification, acknowledged_at=to_timestamp(int(acknowledged)))
    )


def _read_notified(contents: Contents, payload: bytes) -> Notified:
    """Read what the scripts publish: a line with the user (and the tenant, where the body is sealed), and the body.

    Raises:
        ValueError, LookupError, TypeError: it is something else.
    """
    head, _, body = payload.partition(b"\n")
    user_id, _, tenant = head.partition(b" ")
    if tenant:
        body = contents.open(tenant.decode(), EVENT, body)
    tenant_id = orjson.loads(body)["tenant_id"]
    if not isinstance(tenant_id, str):
        raise TypeError("no tenant")
    return Notified(tenant_id, user_id.decode(), body)


def _epoch() -> str:
    return new_epoch()
