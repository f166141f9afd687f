"""Whether Redis takes writes."""

from typing import Final

import trio
from attrs import frozen

from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.errors import RedisAway
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_PROBE: Final = Script("operations/probe")
KEPT_MS: Final = 10_000
PROBE_SECONDS: Final = 0.7
"""Deadline of a write; a connection that is made again meanwhile is waited for."""


@frozen
class ProbeStore:
    """Writes a key of a process that is read nowhere.

    Args:
        redis: the shared connection.
        keys: the names of keys.
        node: the name of the process.
    """

    redis: Redis
    keys: Keys
    node: str

    @on_shared_keys
    async def write(self) -> None:
        """Write, by a script as nearly everything is.

        Raises:
            StoreUnavailable: Redis is away, or takes no writes; the reason has its own words.
        """
        with trio.move_on_after(PROBE_SECONDS):
            await _PROBE(self.redis, keys=[self.keys.probe(self.node)], args=[KEPT_MS])
            return
        raise RedisAway(self.redis.why_away or f"no answer within {PROBE_SECONDS:g} s", sent=True)
