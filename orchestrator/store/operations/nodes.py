"""The processes that share the work."""

from collections.abc import Mapping
from typing import Final

from attrs import fields, frozen

from orchestrator.codec import encode, parse_json, structure_kept
from orchestrator.errors import InvalidBody, TenantDamaged
from orchestrator.models.common.ids import read_id
from orchestrator.models.operations.load import Node, NodeLoad
from orchestrator.store.keys import Keys
from orchestrator.store.records import moment
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_SAID: Final = frozenset(one.name for one in fields(NodeLoad))
_HEARTBEAT: Final = Script("scheduling/heartbeat")


@frozen
class Heartbeats:
    """The last heartbeat of each process, by Redis' clock."""

    now_ms: int
    moments: Mapping[str, int]
    """Of each process (ms)."""


@frozen
class Nodes:
    """Live processes, by last heartbeat, and their loads."""

    redis: Redis
    keys: Keys

    @on_shared_keys
    async def beat(self, node: str, load: NodeLoad | None = None) -> Heartbeats:
        """Say that `node` lives, and what it has in hand; returns the heartbeats of all processes."""
        keys, said = [self.keys.nodes, self.keys.loads], b"" if load is None else encode(load)
        now, *beats = await _HEARTBEAT(self.redis, keys=keys, args=[node, said])
        moments, unreadable = dict[str, int](), list[bytes]()
        for raw, beat in zip(beats[::2], beats[1::2], strict=True):
            name = self.redis.unreadable.read(self.keys.nodes, read_id, raw)
            if name is None:
                unreadable.append(raw)
            else:
                moments[name] = moment(beat)
        if unreadable:
            # What is no name of a process has nothing that could be taken over.
            await self.redis.zrem(self.keys.nodes, *unreadable)
        return Heartbeats(int(now), moments)

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
            age = max(0, now - int(max(0.0, min(float(beat), now))))
            if (node := self.redis.unreadable.read(self.keys.nodes, read_id, name)) is not None:
                nodes.append(Node(node, age, age <= timeout_ms, _read(loads.get(name))))
        return sorted(nodes, key=lambda node: node.node)


def _read(body: bytes | None) -> NodeLoad | None:
    """Read the load of a process, of which a later version may say more than this one knows."""
    try:
        said = parse_json(body) if body else None
        known = {name: said[name] for name in _SAID if name in said} if isinstance(said, dict) else said
        return None if known is None else structure_kept(known, NodeLoad)
    except (InvalidBody, TenantDamaged):
        # A process of another version may say it in other words.
        return None
