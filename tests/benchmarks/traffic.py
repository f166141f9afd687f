"""What passes between a process and Redis, and what Redis executes: counted, so the same on every machine."""

from collections.abc import Mapping
from typing import Self

from attrs import frozen

from orchestrator.store.redis.connection import Redis


@frozen
class Traffic:
    """What has passed so far."""

    requests: int
    """Commands that the process has sent; each waits for one reply."""
    sent: int
    """Bytes."""
    received: int
    """Bytes."""
    executed: int
    """Commands that Redis has executed, those within scripts included."""

    @classmethod
    async def now(cls, redis: Redis) -> Self:
        """Read the counters."""
        stats: Mapping[str, Mapping[str, int]] = await redis.info("commandstats")
        executed = sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")
        counters = redis.counters
        return cls(counters.commands, counters.bytes_out, counters.bytes_in, executed)

    async def since(self, redis: Redis, name: str, tasks: int) -> dict[str, float]:
        """Return what has passed since, a task."""
        now = await Traffic.now(redis)
        return {
            f"{name}_requests": (now.requests - self.requests) / tasks,
            f"{name}_executed": (now.executed - self.executed) / tasks,
            f"{name}_bytes": (now.sent - self.sent + now.received - self.received) / tasks,
        }
