"""Pub/sub: one connection, any number of channels, subscribed again after every reconnect.

Messages wait in a bounded buffer. What is published while the connection is away, or while the buffer is full, is lost:
a `RECONNECTED` marker stands where that happened, so that the reader looks into the logs, which lose nothing.
"""

import random
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, Self

import hiredis
import trio
from attrs import frozen

from orchestrator.store.address import Address, Limits, RedisAway, open_wire
from orchestrator.store.wire import ConnectionLost, Wire

_BUFFER: Final = 4096
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 2.0


_pack: Callable[[tuple[str | bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment] # its stub knows one argument


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
    """Follows channels; iterate over it to receive.

    Args:
        address: where the server is.
        limits: bounds of the connection; its command timeout does not apply, for silence is no fault here.
        name: what the server's list of clients shows.
    """

    def __init__(self, address: Address, limits: Limits, name: str) -> None:
        self._address = address
        self._limits = Limits(limits.connect_timeout, None, limits.reconnect_wait, limits.max_pending_bytes)
        self._name = name
        self._wanted: dict[bytes, trio.Event] = {}
        self._leaving: dict[bytes, trio.Event] = {}
        self._wire: Wire | None = None
        self._send, self._receive = trio.open_memory_channel[Received](_BUFFER)
        self._missed = False
        self._again: set[bytes] | None = None

    async def subscribe(self, *channels: str) -> None:
        """Follow channels; returns when the server has confirmed all, now or after it is back."""
        names = [channel.encode() for channel in channels]
        fresh = [name for name in names if name not in self._wanted]
        for name in fresh:
            self._wanted[name] = trio.Event()
        self._post("SUBSCRIBE", fresh)
        for name in names:
            if (event := self._wanted.get(name)) is not None:
                await event.wait()

    async def unsubscribe(self, *channels: str) -> None:
        """Leave channels; returns when the server has confirmed it, or is away."""
        names = [channel.encode() for channel in channels]
        held = [name for name in names if self._wanted.pop(name, None) is not None]
        if self._wire is None or not held:
            return
        events = [self._leaving.setdefault(name, trio.Event()) for name in held]
        self._post("UNSUBSCRIBE", held)
        for event in events:
            await event.wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        if self._missed and self._receive.statistics().current_buffer_used == 0:
            # What the buffer could not take came after what it held.
            self._missed = False
            return RECONNECTED
        return await self._receive.receive()

    async def run(self) -> None:
        """Keep the connection, for ever."""
        pause, again = _FIRST_PAUSE, False
        while True:
            try:
                async with open_wire(self._address, self._limits, self._name, self._pushed) as wire:
                    self._wire, pause = wire, _FIRST_PAUSE
                    # The marker comes when all channels are followed again: then the logs have what was missed.
                    self._again = set(self._wanted) if again else None
                    self._post("SUBSCRIBE", list(self._wanted))
                    again = True
                    await wire.lost.wait()
            except RedisAway:
                again = True
            finally:
                self._wire = None
                for event in self._leaving.values():
                    event.set()
                self._leaving.clear()
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects, guards nothing
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _post(self, command: str, names: list[bytes]) -> None:
        if self._wire is not None and names:
            try:
                self._wire.post(_pack((command, *names)))
            except ConnectionLost:
                # What is wanted is subscribed with the next connection.
                return

    def _pushed(self, push: list[Any]) -> None:
        kind, name = push[0], push[1]
        if kind == b"message":
            self._put(Message(name, push[2]))
        elif kind == b"subscribe":
            self._subscribed(name)
        elif kind == b"unsubscribe" and (leaving := self._leaving.pop(name, None)) is not None:
            leaving.set()

    def _subscribed(self, name: bytes) -> None:
        if (wanted := self._wanted.get(name)) is not None:
            wanted.set()
        if self._again is not None:
            self._again.discard(name)
            if not self._again:
                self._again = None
                self._put(RECONNECTED)

    def _put(self, received: Received) -> None:
        try:
            self._send.send_nowait(received)
        except trio.WouldBlock:
            self._missed = True
