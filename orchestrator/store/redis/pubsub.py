"""Pub/sub: one connection, any number of channels, subscribed again after every reconnect.

Messages wait in a bounded buffer. When it is full, all of it is dropped for a single `RECONNECTED`; the same marker
comes after a reconnect, once every channel is followed again. Either way messages may be missing, and the reader looks
into the logs, which lose nothing.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, Literal, Self

import trio
from attrs import frozen

from orchestrator.store.redis.address import Address, ConnectionLimits, check_master, open_wire
from orchestrator.store.redis.backoff import Backoff
from orchestrator.store.redis.errors import RedisAway, reason_of
from orchestrator.store.redis.packing import pack
from orchestrator.store.redis.pending_replies import UNSENT, PendingReplies, PendingReply
from orchestrator.store.redis.wakeup import Wakeup
from orchestrator.store.redis.wire import Wire, Wires

_BUFFER: Final = 4096
_HEARTBEAT: Final = 15.0
"""Seconds between two looks at a server that has nothing to say: whether it is there, and still the master."""


@frozen
class Message:
    """Something published."""

    channel: bytes
    payload: bytes


class Marker(Enum):
    """Something may have been missed."""

    RECONNECTED = "reconnected"


RECONNECTED: Final = Marker.RECONNECTED
Received = Message | Literal[Marker.RECONNECTED]


class Subscriber:
    """Follows channels; one task iterates over it to receive.

    Args:
        address: where the server is.
        limits: bounds of the connection.
        name: what the server's list of clients shows.
        wires: the connections of the same client.
        buffer: how many messages may wait for the reader.
    """

    def __init__(
        self, address: Address, limits: ConnectionLimits, name: str, wires: Wires, *, buffer: int = _BUFFER
    ) -> None:
        self._address = address
        self._limits = limits
        self._name = name
        self._wires = wires
        self._wanted: set[bytes] = set()
        self._wire: Wire | None = None
        self._connected = trio.Event()
        self._tried = trio.Event()
        self._reason = "not connected yet"
        self._buffer: deque[Received] = deque()
        self._capacity = buffer
        self._reader = Wakeup()

    async def subscribe(self, *channels: str | bytes) -> None:
        """Follow channels; returns when the server has confirmed all of them.

        Where it fails, or is cancelled, none of them is followed that was not before.

        Raises:
            RedisAway: the server is away and stays away, or does not allow it.
        """
        names = _names(channels)
        fresh = set(names) - self._wanted
        self._wanted |= fresh
        try:
            await self._ask("SUBSCRIBE", names)
        except BaseException:
            self._wanted -= fresh
            raise

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """Leave channels; returns when the server has confirmed it, or is away, which comes to the same."""
        names = _names(channels)
        self._wanted.difference_update(names)
        if self._wire is not None:
            replies = await _exchange(self._wire, "UNSUBSCRIBE", names)
            _raise_refusals(replies)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        """Return the next message; a checkpoint only where one has to be waited for."""
        while not self._buffer:
            await self._reader.wait()
        return self._buffer.popleft()

    @property
    def has_more(self) -> bool:
        """Whether a message has come that the reader has not taken."""
        return bool(self._buffer)

    async def run(self) -> None:
        """Keep the connection, for ever."""
        backoff, ever = Backoff(), False
        while True:
            try:
                async with open_wire(self._address, self._limits, self._name, self._wires, self._pushed) as wire:
                    await self._follow_all(wire)
                    self._wire = wire
                    self._connected.set()
                    self._tried.set()
                    if ever:
                        self._put(RECONNECTED)
                    ever, backoff = True, Backoff()
                    await self._stay(wire)
            except RedisAway as away:
                self._reason = away.reason
                self._tried.set()
            await trio.sleep(backoff.next())

    async def _follow_all(self, wire: Wire) -> None:
        followed: set[bytes] = set()
        while missing := self._wanted - followed:
            replies = await _exchange(wire, "SUBSCRIBE", missing)
            if not isinstance(replies, list):
                raise RedisAway(wire.reason or "", sent=False)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise RedisAway(reason_of(reply), sent=False)
            followed |= missing

    async def _stay(self, wire: Wire) -> None:
        """Return when the connection is lost."""
        try:
            while wire.reason is None:
                with trio.move_on_after(_HEARTBEAT):
                    await wire.lost.wait()
                if wire.reason is None:
                    hello = await _wait(wire, pack(("HELLO", 3)), PendingReply(wire.now()), 1)
                    if isinstance(hello, Exception):
                        raise RedisAway(reason_of(hello), sent=False)
                    check_master(hello)
        except RedisAway as away:
            wire.fail(away.reason)
        finally:
            self._wire = None
            self._reason = wire.reason or "the subscriber was closed"
            self._connected = trio.Event()

    async def _ask(self, command: str, names: list[bytes]) -> None:
        """Have a change confirmed, by this connection or by the next one, which follows all that is wanted."""
        # The first connection has a longer deadline, its own: a process that starts is busy, and so may the server be.
        await self._tried.wait()
        deadline = trio.current_time() + self._limits.reconnect_wait
        while True:
            wire = self._wire
            if wire is not None:
                replies = await _exchange(wire, command, names)
                if isinstance(replies, list):
                    _raise_refusals(replies)
                    return
                await wire.lost.wait()
            with trio.move_on_at(deadline):
                await self._connected.wait()
                return
            raise RedisAway(self._reason, sent=False)

    def _pushed(self, push: list[Any]) -> bool:
        match push:
            case [b"message", channel, payload]:
                if channel in self._wanted:
                    self._put(Message(channel, payload))
                return False
            case [b"subscribe" | b"unsubscribe", *_]:
                return True
            case _:
                return False

    def _put(self, received: Received) -> None:
        if len(self._buffer) >= self._capacity:
            self._buffer.clear()
            received = RECONNECTED
        self._buffer.append(received)
        self._reader.ring()


def _names(channels: Iterable[str | bytes]) -> list[bytes]:
    return [channel.encode() if isinstance(channel, str) else channel for channel in channels]


async def _exchange(wire: Wire, command: str, names: Iterable[bytes]) -> Any:
    """Send one command a channel, so that each gets one answer, be it a confirmation or a refusal."""
    packed = [pack((command, name)) for name in names]
    if not packed:
        return []
    return await _wait(wire, b"".join(packed), PendingReplies(wire.now(), len(packed)), len(packed))


async def _wait(wire: Wire, packed: bytes, slot: PendingReply, count: int) -> Any:
    """Return the replies; `UNSENT` or `RedisAway` where the connection broke."""
    await trio.lowlevel.checkpoint_if_cancelled()
    if not wire.ready and not await wire.wait_for_room():
        return UNSENT
    wire.submit(packed, slot, count)
    return await trio.lowlevel.wait_task_rescheduled(slot.abandon)


def _raise_refusals(replies: Any) -> None:
    for reply in replies if isinstance(replies, list) else ():
        if isinstance(reply, Exception):
            raise reply
