"""Whether Redis takes writes."""

from time import time
from typing import Any, Final

import trio
from attrs import frozen

from orchestrator.models.operations.consistency import StoreFacts
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

    async def facts(self) -> StoreFacts:
        """Return what Redis says of itself.

        Raises:
            StoreUnavailable
        """
        began = time()
        (seconds, microseconds), info = await self.redis.gather([("TIME",), ("INFO",)])
        middle = (began + time()) / 2
        said = _pairs(info)
        return StoreFacts(
            redis_version=said.get("redis_version", "unknown"),
            aof_enabled=said.get("aof_enabled") == "1",
            aof_last_write_status=said.get("aof_last_write_status", "ok"),
            maxmemory_policy=said.get("maxmemory_policy", "unknown"),
            clock_ahead_ms=round((int(seconds) + int(microseconds) / 1e6 - middle) * 1000),
        )

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


def _pairs(info: Any) -> dict[str, str]:
    """Read the reply of INFO, as a mapping or as text."""
    if isinstance(info, dict):
        return {_text(name): _text(value) for name, value in info.items()}
    lines = _text(info).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
