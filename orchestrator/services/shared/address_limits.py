"""The limit of each address, shared between processes.

A request is counted where it comes in, at no cost but a look into a table; a few times a second a process tells Redis
what came, and hears what came elsewhere. So an address that comes to several processes is held to one limit a moment
later, and a flood costs Redis no more than a trickle: what a process refuses by itself is told nowhere.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import trio
from attrs import define

from orchestrator.store.sessions.address_limits import AddressLimitStore

SYNC_SECONDS: Final = 0.25
PROCESSES: Final = 32
"""An address that makes less than this part of its rate to a process is not told of: as many stay below it together."""
MOST_ADDRESSES: Final = 1000
"""That are told of at once: those that came most often."""


class AddressCounts(Protocol):
    """What a process counts of addresses."""

    rate: float
    burst_seconds: float

    def drain(self, least: float) -> Sequence[tuple[str, int]]:
        """Return what came since the last call, of addresses with at least so many requests, most first."""

    def ahead(self, address: str, seconds: float) -> None:
        """Take note of how far an address is ahead of its rate, in all processes."""


@define(eq=False)
class AddressLimits:
    """Joins what processes count.

    Args:
        store: where.
    """

    store: AddressLimitStore
    counts: AddressCounts | None = None
    """Of this process; None until it serves."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell and hear, for ever.

        Raises:
            StoreUnavailable: Redis is away; each process then counts for itself.
        """
        task_status.started()
        while True:
            await trio.sleep(SYNC_SECONDS)
            await self.sync()

    async def sync(self) -> None:
        """Tell what came here, and hear what came elsewhere."""
        counts = self.counts
        if counts is None or not counts.rate:
            return
        told = counts.drain(counts.rate * SYNC_SECONDS / PROCESSES)[:MOST_ADDRESSES]
        if not told:
            return
        heard = await self.store.count(told, counts.rate, counts.burst_seconds)
        for (address, _), ahead_ms in zip(told, heard, strict=True):
            counts.ahead(address, ahead_ms / 1000)

    async def failure(self, address: str, kept_seconds: float) -> int:
        """Count a failed credential of an address in all processes, and return how many there were."""
        return await self.store.note_failure(address, round(kept_seconds * 1000))
