"""Who of this process's sockets is to hear of a notification at once.

A user's own log brings notifications to the notifications' socket, in order and for sure; what is for the whole tenant
comes into it when that user is looked at, which is what happens here for all users who have such a socket. Sockets of
sessions hear of notifications too, besides their log: for those that is a courtesy, and what they miss is not repeated.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import trio

from orchestrator.errors import StoreUnavailable
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.events.notifications import EVERYBODY, NotificationStore, Notified

RETRY_SECONDS: Final = 1.0
AT_ONCE: Final = 50
"""Users that are looked at at once."""
Reader = tuple[str, str]
"""Tenant and user."""
Deliver = Callable[[bytes], None]
"""Takes the body of `system.notification`; it does not wait."""
_log = structlog.get_logger("orchestrator.services.notifications.notification_hub")


class NotificationHub:
    """Passes notifications to the sockets of one process.

    Args:
        store: brings users up to date.
    """

    def __init__(self, store: NotificationStore) -> None:
        self._store = store
        self._followers: dict[str, dict[str, int]] = {}
        self._told: dict[str, dict[str, set[Deliver]]] = {}
        self._collecting: dict[str, bool] = {}
        """Tenants whose users are being looked at, and whether there is more since that began."""

    @contextmanager
    def following(self, tenant_id: str, user_id: str) -> Iterator[None]:
        """Keep a user's log up to date while it is followed here."""
        users = self._followers.setdefault(tenant_id, {})
        users[user_id] = users.get(user_id, 0) + 1
        try:
            yield
        finally:
            users[user_id] -= 1
            if not users[user_id]:
                del users[user_id]
            if not users and self._followers.get(tenant_id) is users:
                del self._followers[tenant_id]

    @contextmanager
    def listening(self, tenant_id: str, user_id: str, told: Deliver) -> Iterator[None]:
        """Have `told` called with every notification to a user."""
        users = self._told.setdefault(tenant_id, {})
        users.setdefault(user_id, set()).add(told)
        try:
            yield
        finally:
            users[user_id].discard(told)
            if not users[user_id]:
                del users[user_id]
            if not users and self._told.get(tenant_id) is users:
                del self._told[tenant_id]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear of notifications, for ever.

        Raises:
            StoreUnavailable: notifications can't be followed.
        """
        async with self._store.follow() as announcements, trio.open_nursery() as nursery:
            self._collecting.clear()
            self._look_at_all(nursery)
            task_status.started()
            async for notified in announcements:
                if notified is not None:
                    self._take(notified, nursery)
                else:
                    # Some may have been missed; the tenants' streams have them.
                    self._look_at_all(nursery)

    def _take(self, notified: Notified, nursery: trio.Nursery) -> None:
        listeners = self._told.get(notified.tenant_id, {})
        for reader in [*listeners] if notified.user_id == EVERYBODY else [notified.user_id]:
            for told in listeners.get(reader, ()):
                told(notified.body)
        if notified.user_id == EVERYBODY:
            self._look_at(notified.tenant_id, nursery)

    def _look_at_all(self, nursery: trio.Nursery) -> None:
        for tenant_id in [*self._followers]:
            self._look_at(tenant_id, nursery)

    def _look_at(self, tenant_id: str, nursery: trio.Nursery) -> None:
        """Bring a tenant's followed users up to date; what comes meanwhile is one more round, however much it is."""
        if tenant_id in self._collecting:
            self._collecting[tenant_id] = True
        elif tenant_id in self._followers:
            nursery.start_soon(self._collect, tenant_id)
            self._collecting[tenant_id] = True

    async def _collect(self, tenant_id: str) -> None:
        try:
            while self._collecting[tenant_id]:
                self._collecting[tenant_id] = False
                waiting = [(tenant_id, user_id) for user_id in self._followers.get(tenant_id, ())]
                while waiting:
                    waiting = await self._collect_some(waiting[:AT_ONCE]) + waiting[AT_ONCE:]
        finally:
            del self._collecting[tenant_id]

    async def _collect_some(self, readers: list[Reader]) -> list[Reader]:
        """Return those that are yet to be looked at."""
        missed: list[Reader] = []
        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(self._collect_one, reader, missed)
        if missed:
            await trio.sleep(RETRY_SECONDS)
        return missed

    async def _collect_one(self, reader: Reader, missed: list[Reader]) -> None:
        if reader[1] not in self._followers.get(reader[0], ()):
            return
        try:
            with isolate_tenant(reader[0]):
                await self._store.collect(*reader)
        except StoreUnavailable as error:
            _log.warning("notifications.not_collected", tenant_id=reader[0], reason=error.reason)
            missed.append(reader)
