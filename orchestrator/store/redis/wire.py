"""One connection to Redis: many callers' commands in one send, replies resolved in order.

    callers ──pack──▶ outbox ──▶ socket ──reader──▶ slots (one a reply, oldest first) ──▶ callers

A caller that is alone sends at once. Otherwise commands gather: the last of those whose replies came together sends for
all of them, and the writer, a turn of the scheduler later, sends what is left. When the connection breaks, every slot
is failed at once: as possibly executed if any of its bytes were handed to the socket, as `UNSENT` if not.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
import trio
from attrs import define
from redis.exceptions import InvalidResponse

from orchestrator.store.redis.errors import REFUSES, RedisAway, leads_elsewhere, refusal
from orchestrator.store.redis.joined import Common, JoinedReplies, Part
from orchestrator.store.redis.pending_replies import UNSENT, PendingReply
from orchestrator.store.redis.wakeup import Wakeup

_READ_BYTES: Final = 65_536
_NOT_YET: Final = object()
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SENT_AT_ONCE: Final = 16
"""So many commands wait for no more to join them: the server works on them while callers make the next ones."""
_MOST_JOINED: Final = 16
"""So many callers share a run of a script: it holds up the server for as long as it takes for all of them."""
_GRACE: Final = 0.02
"""Seconds that an overdue reply gets on top, for it may have arrived while this process was busy elsewhere."""


@define
class Counters:
    """What has passed over the connections of a client, since it was opened."""

    commands: int = 0
    sends: int = 0
    receives: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    reconnects: int = 0


class Wires:
    """The open connections of one client, and what has passed over them.

    All are made anew where one of them finds that it leads to a replica: connections outlive a failover, and what is
    published or blocked on at a server that is no longer the master comes late or never.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self._open: set[Wire] = set()

    def add(self, wire: "Wire") -> None:
        """Note that a connection was made."""
        self._open.add(wire)

    def discard(self, wire: "Wire") -> None:
        """Note that a connection is closed."""
        self._open.discard(wire)

    def fail(self, reason: str) -> None:
        """Give up all connections."""
        for wire in self._open:
            wire.fail(reason)


class Wire:
    """A connection.

    Args:
        sock: the connected socket, not blocking.
        command_timeout: age of the oldest unanswered command, in seconds, at which the connection counts as dead.
        max_pending_bytes: unsent bytes beyond which callers shall wait.
        wires: the connections of the same client; traffic is counted there.
        on_push: gets push messages (RESP3); says whether one is the answer to the oldest command.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        command_timeout: float | None,
        max_pending_bytes: int,
        wires: Wires,
        on_push: Callable[[list[Any]], bool] = lambda _: False,
    ) -> None:
        self._sock = sock
        self._command_timeout = command_timeout
        self._max_pending_bytes = max_pending_bytes
        self._wires = wires
        self._counters = wires.counters
        self._on_push = on_push
        self._elsewhere: str | None = None
        """What Redis has said that a new connection may mend."""
        self._parser = hiredis.Reader(protocolError=InvalidResponse, replyError=self._refused, notEnoughData=_NOT_YET)
        self._slots: deque[PendingReply | JoinedReplies] = deque()
        self._outbox: list[bytes | JoinedReplies] = []
        self._joined: dict[Common, JoinedReplies] = {}
        """Of those in the outbox."""
        self._unsent_slots = 0
        self._unsent_callers = 0
        self._sending: memoryview | None = None
        self._pending_bytes = 0
        self._crowd = 0
        """How many of those whose replies came last have not given another command yet."""
        self._room = trio.lowlevel.ParkingLot()
        self._writer = Wakeup()
        self._watcher = Wakeup()
        self._scope = trio.CancelScope()
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self.ready = True
        """Whether a command may be submitted at once: the connection is whole, and no caller waits for room."""
        self.reason: str | None = None
        """Why the connection is broken, if it is."""
        self.lost = trio.Event()
        """Set when it is broken and every caller has been told."""

    def submit(self, packed: bytes, slot: PendingReply, count: int = 1) -> None:
        """Put packed commands in line; the caller must go on to wait in `slot`, without a checkpoint between.

        Args:
            packed: the commands.
            slot: where their replies go.
            count: how many they are.
        """
        alone = self._gets_in_line()
        if count == 1:
            self._slots.append(slot)
        else:
            self._slots.extend([slot] * count)
        self._outbox.append(packed)
        self._unsent_slots += count
        self._was_put(len(packed), count, alone)

    def submit_joined(self, common: Common, part: Part, slot: PendingReply) -> None:
        """Put a run of a script in line, which others may join until it is sent; as `submit` otherwise."""
        alone = self._gets_in_line()
        joined = self._joined.get(common)
        if joined is None or joined.callers >= _MOST_JOINED:
            joined = self._joined[common] = JoinedReplies(common, slot.since)
            self._slots.append(joined)
            self._outbox.append(joined)
            self._unsent_slots += 1
        joined.add(part, slot)
        self._was_put(part.size, 1, alone)

    def _gets_in_line(self) -> bool:
        """Count a caller; returns whether no other is about to give a command."""
        crowd = self._crowd
        if crowd:
            self._crowd = crowd - 1
        if not self._slots:
            self._watcher.ring()
            return crowd <= 1
        return crowd == 1

    def _was_put(self, size: int, callers: int, alone: bool) -> None:
        self._unsent_callers += callers
        self._pending_bytes += size
        if self._sending is None and (alone or self._unsent_callers >= _SENT_AT_ONCE):
            self._flush()
        else:
            self._writer.ring()
        if self._pending_bytes > self._max_pending_bytes:
            self.ready = False
        elif not self.ready:
            self._admit()

    async def wait_for_room(self) -> bool:
        """Wait in line until a command may be submitted; false if the connection broke instead."""
        if self.reason is None:
            await self._room.park()
        return self.reason is None

    def fail(self, reason: str) -> None:
        """Give the connection up; `run` tells the callers."""
        if self.reason is None:
            self.reason = reason
            self.ready = False
            self._scope.cancel()

    async def run(self) -> None:
        """Keep the connection going; returns when it is broken, with every caller told and the socket closed."""
        self._wires.add(self)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._read)
                    if self._command_timeout is not None:
                        nursery.start_soon(self._watch, self._command_timeout)
        finally:
            self.fail("the connection was closed")
            self._wires.discard(self)
            self._settle()
            self._sock.close()

    async def _write(self) -> None:
        while True:
            while self._outbox or self._sending is not None:
                self._flush()
                if self._sending is not None:
                    await trio.lowlevel.wait_writable(self._sock)
            await self._writer.wait()

    def _flush(self) -> None:
        """Send what is in line, as far as the socket takes it now."""
        data = self._sending
        if data is None:
            packed = [one if isinstance(one, bytes) else one.packed() for one in self._outbox]
            data = memoryview(packed[0] if len(packed) == 1 else b"".join(packed))
            self._counters.commands += self._unsent_slots
            self._outbox.clear()
            self._joined.clear()
            self._unsent_slots = self._unsent_callers = 0
            self._pending_bytes = len(data)
        try:
            sent = self._sock.send(data)
        except _WOULD_BLOCK:
            sent = 0
        except OSError as error:
            self._sending = data
            self.fail(f"the connection broke: {error}")
            return
        self._counters.sends += sent > 0
        self._counters.bytes_out += sent
        self._pending_bytes -= sent
        if sent == len(data):
            self._sending = None
        else:
            self._sending = data[sent:]
            self._writer.ring()
        if not self.ready:
            self._admit()

    def _admit(self) -> None:
        """Let the next caller in, if there is room: one at a time, in the order in which they came."""
        if self.reason is None and self._pending_bytes <= self._max_pending_bytes:
            if self._room:
                self._room.unpark()
            else:
                self.ready = True

    async def _read(self) -> None:
        sock = self._sock
        while self.reason is None:
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(_READ_BYTES)
                # A TLS record that is decrypted already does not make the socket readable.
                while isinstance(sock, ssl.SSLSocket) and sock.pending():
                    data += sock.recv(sock.pending())
            except _WOULD_BLOCK:
                continue
            except OSError as error:
                self.fail(f"the connection broke: {error}")
            else:
                self._take(data)

    def _take(self, data: bytes) -> None:
        if not data:
            self.fail("the server closed the connection")
            return
        self._counters.receives += 1
        self._counters.bytes_in += len(data)
        parser, slots = self._parser, self._slots
        parser.feed(data)
        crowd = 0
        try:
            while (reply := parser.gets()) is not _NOT_YET:
                if type(reply) is hiredis.PushNotification and not self._on_push(reply):
                    continue
                if not slots:
                    raise InvalidResponse(f"a reply without a request: {reply!r:.100}")
                slot = slots.popleft()
                slot.resolve(reply)
                crowd += slot.callers
        except (InvalidResponse, TypeError) as error:
            # A map whose keys are lists is well-formed, but no Redis sends it, and no dict takes it.
            self.fail(f"the peer does not speak Redis: {error}")
        self._crowd = crowd
        if self._elsewhere is not None:
            self._wires.fail(f"{REFUSES}{self._elsewhere}")

    def _refused(self, text: str) -> Exception:
        if leads_elsewhere(text):
            self._elsewhere = text
        return refusal(text)

    async def _watch(self, timeout: float) -> None:
        """Give the connection up when a reply is overdue; sleeps while none can be, and costs callers nothing."""
        slots = self._slots
        while True:
            if not slots:
                await self._watcher.wait()
                await trio.sleep(timeout)
                continue
            oldest = slots[0]
            await trio.sleep_until(oldest.since + timeout)
            if slots and slots[0] is oldest:
                await trio.sleep(_GRACE)
                if slots and slots[0] is oldest:
                    self.fail(f"no reply within {timeout:g} s")

    def _settle(self) -> None:
        """Tell every caller that the connection is broken."""
        reason = self.reason or ""
        written = len(self._slots) - self._unsent_slots
        for place, slot in enumerate(self._slots):
            slot.fail(RedisAway(reason, sent=True) if place < written else UNSENT)
        self._slots.clear()
        self._outbox.clear()
        self._joined.clear()
        self._sending = None
        self._room.unpark_all()
        self.lost.set()
