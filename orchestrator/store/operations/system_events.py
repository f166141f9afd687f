"""The stream of notices."""

from typing import Final

from attrs import Factory, field, frozen

from orchestrator.codec import decode_kept, encode
from orchestrator.errors import TenantDamaged
from orchestrator.models.operations.system_events import SystemEvent
from orchestrator.store.events.feed import FeedLog, Reference
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys

KEPT: Final = 1000
"""About so many; older ones go."""


@frozen
class SystemEventStore:
    """Writes and reads notices."""

    redis: Redis
    keys: Keys
    feed: FeedLog = field(
        default=Factory(lambda self: FeedLog(self.redis, self.keys), takes_self=True), init=False, repr=False
    )

    @on_shared_keys
    async def post(self, notice: SystemEvent) -> None:
        """Append a notice; one about a tenant is told in the tenant's feed, too."""
        await self.redis.xadd(self.keys.notices, {"notice": encode(notice)}, maxlen=KEPT, approximate=True)
        if tenant_id := notice.about.get("tenant_id"):
            await self.feed.tell(
                tenant_id, notice.name, Reference("notice", tenant_id, at=notice.at, data=notice.about)
            )

    @on_shared_keys
    async def last(self, count: int) -> list[SystemEvent]:
        """Return the last notices, the newest first."""
        found = []
        for _, values in await self.redis.xrevrange(self.keys.notices, count=count):
            try:
                found.append(decode_kept(values[b"notice"], SystemEvent))
            except (TenantDamaged, KeyError):
                continue  # a process of another version may say it in other words
        return found
