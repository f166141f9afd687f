"""News of delegated work that come through Redis: one stream, read by whichever process is free.

What was read stays with its process until it has been dealt with, and goes to another one if the process is lost.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
import trio
from attrs import define

from orchestrator.errors import StoreUnavailable
from orchestrator.store.keys import Keys
from orchestrator.store.redis.backoff import Backoff
from orchestrator.store.redis.connection import Dedicated, Redis, RedisAway
from orchestrator.store.redis.groups import ensure_group
from orchestrator.store.script import Script

GROUP: Final = "orchestrator"
LOST_MS: Final = 30_000
"""After so long news that a process has not dealt with are another one's."""
GONE_MS: Final = 3_600_000
"""After so long a process that has left nothing behind is forgotten: each start of a process is a new reader."""
_BLOCK_MS: Final = 5000
_BATCH: Final = 64
_FORGET: Final = Script("scheduling/forget_readers")
_log = structlog.get_logger()

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

        Raises:
            RedisAway: there is no connection at the start.
        """
        backoff, started = Backoff(), False
        while True:
            try:
                async with self.redis.dedicated() as own:
                    await self._prepare(own)
                    if not started:
                        task_status.started()
                        started = True
                    while True:
                        await self._adopt(own)
                        await self._read(own)
                        backoff = Backoff()
            except RedisAway as away:
                if not started:
                    raise
                _log.warning("task_news.away", reason=away.reason)
            except StoreUnavailable as error:
                _log.warning("task_news.store_unavailable", reason=error.reason)
            await trio.sleep(backoff.next())

    async def _prepare(self, own: Dedicated) -> None:
        await ensure_group(own, self.keys.task_update_stream, GROUP)
        await _FORGET(self.redis, keys=[self.keys.task_update_stream], args=[GROUP, GONE_MS])

    async def _adopt(self, own: Dedicated) -> None:
        """Take over what lost processes have left."""
        _, entries, *_ = await own.execute_command(
            "XAUTOCLAIM", self.keys.task_update_stream, GROUP, self.node, LOST_MS, "0", "COUNT", _BATCH
        )
        await self._deal(own, entries)

    async def _read(self, own: Dedicated) -> None:
        found = await own.execute_command(
            "XREADGROUP", "GROUP", GROUP, self.node, "COUNT", _BATCH, "BLOCK", _BLOCK_MS,
            "STREAMS", self.keys.task_update_stream, ">",
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
    return dict(zip(values[::2], values[1::2], strict=True))
