"""News of delegated work that come through Redis: one stream, read by whichever process is free.

What was read stays with its process until it has been dealt with, and goes to another one if the process is lost.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio
from attrs import define

from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Dedicated, Redis
from orchestrator.store.redis.groups import ensure_group
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

GROUP: Final = "orchestrator"
LOST_MS: Final = 30_000
"""After so long news that a process has not dealt with are another one's."""
GONE_MS: Final = 3_600_000
"""After so long a process that has left nothing behind is forgotten: each start of a process is a new reader."""
_BLOCK_MS: Final = 5000
_BATCH: Final = 64
_NEW: Final = ">"
_DELIVERED: Final = "0"
"""In place of an id: what no process has read, and what this one has read and not dealt with."""
_FORGET: Final = Script("scheduling/forget_readers")

Take = Callable[[Mapping[bytes, bytes]], Awaitable[bool]]
"""Deals with one entry, and returns whether it is done with; where it is not, it comes again after `LOST_MS`.

StoreUnavailable where it has to come again, and the following ones must wait for it.
"""


@define
class TaskUpdateStream:
    """Reads the stream.

    Args:
        redis: the shared connection, which opens the one for the stream too.
        keys: the names of keys.
        node: the name of this process.
        take: deals with what is read, one after the other, so that the news of a task keep their order.
    """

    redis: Redis
    keys: Keys
    node: str
    take: Take

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled; `started` when news are heard.

        What was delivered to this process before, and is not dealt with, comes first: the reply that brought it may
        have been lost with its connection.

        Raises:
            StoreUnavailable: there is no connection, or no more; or an entry has to come again.
        """
        async with self.redis.dedicated() as own:
            await self._prepare(own)
            task_status.started()
            await self._read(own, _DELIVERED)
            while True:
                await self._adopt(own)
                await self._read(own, _NEW)

    @on_shared_keys
    async def _prepare(self, own: Dedicated) -> None:
        await ensure_group(own, self.keys.task_update_stream, GROUP)
        await _FORGET(self.redis, keys=[self.keys.task_update_stream], args=[GROUP, GONE_MS])

    @on_shared_keys
    async def _adopt(self, own: Dedicated) -> None:
        """Take over what lost processes have left."""
        _, entries, *_ = await own.execute_command(
            "XAUTOCLAIM", self.keys.task_update_stream, GROUP, self.node, LOST_MS, "0", "COUNT", _BATCH
        )
        await self._deal(own, entries)

    @on_shared_keys
    async def _read(self, own: Dedicated, after: str) -> None:
        found = await own.execute_command(
            "XREADGROUP", "GROUP", GROUP, self.node, "COUNT", _BATCH, "BLOCK", _BLOCK_MS,
            "STREAMS", self.keys.task_update_stream, after,
        )  # fmt: skip
        await self._deal(own, [entry for parts in found.values() for part in parts for entry in part])

    async def _deal(self, own: Dedicated, entries: list[Any]) -> None:
        for entry_id, values in entries:
            if await self.take(_fields(values)):
                await own.gather(
                    [
                        ("XACK", self.keys.task_update_stream, GROUP, entry_id),
                        ("XDEL", self.keys.task_update_stream, entry_id),
                    ]
                )


def _fields(values: Any) -> Mapping[bytes, bytes]:
    if isinstance(values, Mapping):
        return values
    if values is None:  # the entry was deleted while it was pending
        return {}
    return dict(zip(values[::2], values[1::2], strict=True))
