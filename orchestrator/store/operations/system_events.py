"""The stream of notices."""

from typing import Final

from attrs import frozen

from orchestrator.codec import decode, encode
from orchestrator.errors import InvalidBody
from orchestrator.models.operations.system_events import SystemEvent
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

    @on_shared_keys
    async def post(self, notice: SystemEvent) -> None:
        """Append a notice."""
        await self.redis.xadd(self.keys.notices, {"notice": encode(notice)}, maxlen=KEPT, approximate=True)

    @on_shared_keys
    async def last(self, count: int) -> list[SystemEvent]:
        """Return the last notices, the newest first."""
        found = []
        for _, values in await self.redis.xrevrange(self.keys.notices, count=count):
            try:
                found.append(decode(values[b"notice"], SystemEvent))
            except (InvalidBody, KeyError):
                continue  # a process of another version may say it in other words
        return found
