"""The processes that share the work."""

from typing import Final

from attrs import frozen

from orchestrator.codec import decode, encode
from orchestrator.errors import InvalidBody
from orchestrator.models.common.ids import read_id
from orchestrator.models.operations.load import Node, NodeLoad
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_HEARTBEAT: Final = Script("scheduling/heartbeat")


@frozen
class Nodes:
    """Live processes, by last heartbeat, and their loads."""

    redis: Redis
    keys: Keys

    @on_shared_keys
    async def beat(self, node: str, timeout_ms: int, load: NodeLoad | None = None) -> list[str]:
        """Say that `node` lives, and what it has in hand; returns those that were silent for over `timeout_ms`."""
        keys, said = [self.keys.nodes, self.keys.loads], b"" if load is None else encode(load)
        gone = await _HEARTBEAT(self.redis, keys=keys, args=[node, timeout_ms, said])
        names = self.redis.unreadable.read_all(self.keys.nodes, read_id, gone)
        if len(names) < len(gone):
            # What is no name of a process has nothing that could be taken over.
            await self.redis.zrem(self.keys.nodes, *(raw for raw in gone if raw.decode(errors="replace") not in names))
        return names

    @on_shared_keys
    async def leave(self, node: str) -> None:
        """Say that `node` is no more, and left nothing behind."""
        await self.redis.gather([("ZREM", self.keys.nodes, node), ("HDEL", self.keys.loads, node)])

    @on_shared_keys
    async def list(self, timeout_ms: int) -> list[Node]:
        """Return the processes by name; one that was silent for over `timeout_ms` is not live."""
        beats, loads, (seconds, microseconds) = await self.redis.gather(
            [("ZRANGE", self.keys.nodes, 0, -1, "WITHSCORES"), ("HGETALL", self.keys.loads), ("TIME",)]
        )
        now = int(seconds) * 1000 + int(microseconds) // 1000
        nodes = []
        for name, beat in beats:
            age = max(0, now - int(beat))
            if (node := self.redis.unreadable.read(self.keys.nodes, read_id, name)) is not None:
                nodes.append(Node(node, age, age <= timeout_ms, _read(loads.get(name))))
        return sorted(nodes, key=lambda node: node.node)


def _read(body: bytes | None) -> NodeLoad | None:
    try:
        return decode(body, NodeLoad) if body else None
    except InvalidBody:
        # A process of another version may say it in other words.
        return None
