"""The processes that share the work."""

from typing import Final

from attrs import frozen

from orchestrator.store.connection import Redis
from orchestrator.store.keys import Keys
from orchestrator.store.scripts import Script

_HEARTBEAT: Final = Script("heartbeat")


@frozen
class Nodes:
    """Live processes, by last heartbeat."""

    redis: Redis
    keys: Keys

    async def beat(self, node: str, timeout_ms: int) -> list[str]:
        """Say that `node` lives; returns those that were silent for longer than `timeout_ms`."""
        gone = await _HEARTBEAT(self.redis, keys=[self.keys.nodes], args=[node, timeout_ms])
        return [name.decode() for name in gone]

    async def leave(self, node: str) -> None:
        """Say that `node` is no more, and left nothing behind."""
        await self.redis.zrem(self.keys.nodes, node)
