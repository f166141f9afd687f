"""The open connections of the process: how many there may be, which are idle, and how all of them end."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

import structlog
import trio
from attrs import define, field

_EASED: Final = 0.9
"""The share of the bound below which a shortage counts as over."""
_LOOKS: Final = 8
"""Within the time of a write; by an eighth it may take longer."""
_RETRY_SECONDS: Final = 0.1
_log = structlog.get_logger("orchestrator.server")


class Held(Protocol):
    """A connection, as far as it is counted here."""

    address: str | None
    """Under which it is counted; None: only with all the others."""

    def close(self) -> None:
        """Close it at once."""

    def abort(self) -> None:
        """Drop it at once, with what is still being written."""

    def end_within(self, seconds: float) -> None:
        """Close it where nothing has begun within so many seconds."""


@define(eq=False)
class _Group:
    """Some connections, the idle ones in the order in which they became it."""

    open: int = 0
    idle: OrderedDict[Held, float] = field(factory=OrderedDict)
    """Since when."""


class Connections:
    """Counts and bounds the open connections.

    Where there are too many, the one that has been idle for longest makes room: a connection is idle where no request
    is being answered on it, and it is no WebSocket.

    Args:
        limit: how many there may be.
        address_limit: how many of them one address may hold.
        spared_seconds: for so long a connection is spared although it is idle; the next request may be on its way.
    """

    def __init__(self, limit: int, address_limit: int, spared_seconds: float) -> None:
        self._limit = limit
        self._address_limit = address_limit
        self._spared_seconds = spared_seconds
        self._all = _Group()
        self._held: set[Held] = set()
        self._addresses: dict[str, _Group] = {}
        self._writing: dict[Held, float] = {}
        self._changed = trio.Event()
        self._exhausted = False

    def __len__(self) -> int:
        return self._all.open

    def __iter__(self) -> Iterator[Held]:
        return iter(tuple(self._held))

    async def room(self, arrival: Callable[[], Awaitable[object]]) -> None:
        """Wait until one more connection may be accepted; make room for it where there is none.

        Args:
            arrival: waits until a connection has come, and returns at once while it waits to be accepted.
        """
        while self._all.open >= self._limit:
            await arrival()
            self._report_exhausted("connections")
            self._evict(self._all)
            with trio.move_on_after(_RETRY_SECONDS):
                await self._changed.wait()

    async def out_of_descriptors(self, error: OSError) -> None:
        """Make room after the system has refused a connection for want of descriptors or memory, and wait a little."""
        self._report_exhausted(error.strerror or str(error))
        self._evict(self._all)
        with trio.move_on_after(_RETRY_SECONDS):
            await self._changed.wait()

    def add(self, held: Held) -> bool:
        """Count a connection; returns false where its address has as many as it may."""
        self._held.add(held)
        allowed = True
        if held.address is not None:
            group = self._addresses.setdefault(held.address, _Group())
            allowed = group.open < self._address_limit or self._evict(group)
        for group in self._groups(held):
            group.open += 1
        self.idle(held)
        return allowed

    def remove(self, held: Held) -> None:
        """Count a connection no longer."""
        self._held.discard(held)
        for group in self._groups(held):
            group.open -= 1
            group.idle.pop(held, None)
        if held.address is not None and not self._addresses[held.address].open:
            del self._addresses[held.address]
        if self._exhausted and self._all.open < self._limit * _EASED:
            self._exhausted = False
            _log.info("connections.available", open=self._all.open)
        self._changed.set()
        self._changed = trio.Event()

    def idle(self, held: Held) -> None:
        """Take note that nothing is being answered on a connection."""
        for group in self._groups(held):
            group.idle[held] = trio.current_time()

    def busy(self, held: Held) -> None:
        """Take note that a request is being answered on a connection, or a WebSocket served."""
        for group in self._groups(held):
            group.idle.pop(held, None)

    def writing(self, held: Held) -> None:
        """Take note that a write has begun, or got on."""
        self._writing[held] = trio.current_time()

    def written(self, held: Held) -> None:
        """Take note that a write has ended."""
        self._writing.pop(held, None)

    async def watch_writes(self, seconds: float) -> None:
        """Drop the connections whose clients have taken nothing for so many seconds; to run for ever.

        One task looks after all of them, since a deadline for each write would cost more than the write.
        """
        while True:
            await trio.sleep(seconds / _LOOKS)
            latest = trio.current_time() - seconds
            for held in [held for held, since in self._writing.items() if since <= latest]:
                _log.warning("connection.unread", address=held.address)
                held.abort()

    def stop(self, seconds: float) -> None:
        """Close every connection that is idle, unless a request arrives on it within so many seconds."""
        for held in tuple(self._all.idle):
            held.end_within(seconds)

    async def gone(self) -> None:
        """Wait until there are no connections."""
        while self._all.open:
            await self._changed.wait()

    async def abort_when_cancelled(self) -> None:
        """Wait for ever; when that is cancelled, drop every connection, so that no task stays in a write."""
        try:
            await trio.sleep_forever()
        finally:
            for held in self:
                held.abort()

    def _groups(self, held: Held) -> Iterator[_Group]:
        yield self._all
        if held.address is not None:
            yield self._addresses[held.address]

    def _evict(self, group: _Group) -> bool:
        """Close the connection that has been idle for longest; returns whether there was one."""
        held, since = next(iter(group.idle.items()), (None, 0.0))
        if held is None or trio.current_time() < since + self._spared_seconds:
            return False
        self.busy(held)
        held.close()
        return True

    def _report_exhausted(self, reason: str) -> None:
        if not self._exhausted:
            self._exhausted = True
            _log.error("connections.exhausted", reason=reason, open=self._all.open, idle=len(self._all.idle))


CountBy = Callable[[str], str | None]
"""Tells under which name the connections of an address are counted; None: not by address."""
