"""One connection to Redis: many callers' commands in one send, replies resolved in order.

    callers ──pack──▶ outbox ──writer──▶ socket ──reader──▶ slots (one a command, oldest first) ──▶ callers

A caller that is cancelled leaves its slot in the row, so its reply still meets it and is thrown away there: a reply
never shifts to another caller. When the connection breaks, every slot is failed at once.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
import outcome
import trio
from redis._parsers.base import BaseParser
from redis.exceptions import InvalidResponse

_READ_BYTES: Final = 65_536
_NOT_YET: Final = object()


class ConnectionLost(Exception):
    """The connection broke while a command was on its way.

    Args:
        reason: why.
        sent: whether the command may have been executed.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class _Slot:
    """The place of a caller in the row of replies."""

    __slots__ = ("count", "replies", "task")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Any] = []
        self.task: trio.lowlevel.Task | None = None

    def take(self, reply: Any) -> bool:
        """Take a reply; says whether it was the last one."""
        self.replies.append(reply)
        if len(self.replies) < self.count:
            return False
        self._wake(outcome.Value(self.replies))
        return True

    def fail(self, error: ConnectionLost) -> None:
        self._wake(outcome.Error(error))

    def _wake(self, result: outcome.Outcome[Any]) -> None:
        if self.task is not None:
            trio.lowlevel.reschedule(self.task, result)
            self.task = None

    async def wait(self) -> list[Any]:
        self.task = trio.lowlevel.current_task()

        def abort(_: Any) -> trio.lowlevel.Abort:
            self.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        replies: list[Any] = await trio.lowlevel.wait_task_rescheduled(abort)
        return replies


class Wire:
    """A connection.

    Args:
        stream: the connected socket.
        command_timeout: seconds without a reply after which the connection counts as dead; None: for ever.
        max_pending_bytes: unsent bytes beyond which callers wait.
        on_push: gets push messages (RESP3), such as those of pub/sub.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        command_timeout: float | None,
        max_pending_bytes: int,
        on_push: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self._stream = stream
        self._command_timeout = command_timeout
        self._max_pending_bytes = max_pending_bytes
        self._on_push = on_push
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOT_YET
        )
        self._slots: deque[_Slot] = deque()
        self._unsent: deque[tuple[bytes, _Slot | None]] = deque()
        self._pending_bytes = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._writer: trio.lowlevel.Task | None = None
        self._progress_at = trio.current_time()
        self._broken: str | None = None
        self.lost = trio.Event()
        self.commands = self.sends = self.bytes_out = self.bytes_in = 0

    @property
    def reason(self) -> str:
        """Why the connection is broken."""
        return self._broken or "not broken"

    async def run(self) -> None:
        """Keep the connection going; returns when it is broken, with every caller told."""
        reason = "the connection was closed"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                if self._command_timeout is not None:
                    nursery.start_soon(self._watch, self._command_timeout)
                await self._read()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as group:
            reason = f"the connection broke: {_first(group)}"
        except* InvalidResponse as group:
            reason = f"the peer does not speak Redis: {_first(group)}"
        except* trio.TooSlowError:
            reason = f"no reply within {self._command_timeout:g} s"
        except* EOFError:
            reason = "the server closed the connection"
        finally:
            self._break(reason)
            with trio.move_on_after(0.1, shield=True):
                await trio.aclose_forcefully(self._stream)

    async def execute(self, packed: bytes, count: int = 1) -> list[Any]:
        """Send `count` packed commands and wait for their replies; errors of Redis stand among them.

        Raises:
            ConnectionLost: the connection broke.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._pending_bytes > self._max_pending_bytes and self._broken is None:
            await self._lot.park()
        slot = _Slot(count)
        self._send(packed, slot)
        return await slot.wait()

    def post(self, packed: bytes) -> None:
        """Send a command whose answer comes as push messages.

        Raises:
            ConnectionLost: the connection broke.
        """
        self._send(packed, None)

    def _send(self, packed: bytes, slot: _Slot | None) -> None:
        if self._broken is not None:
            raise ConnectionLost(self._broken, sent=False)
        if not self._slots:
            self._progress_at = trio.current_time()
        if slot is not None:
            self._slots.append(slot)
            self.commands += slot.count
        self._unsent.append((packed, slot))
        self._pending_bytes += len(packed)
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer)
            self._writer = None

    async def _write(self) -> None:
        while True:
            while self._unsent:
                data = b"".join([packed for packed, _ in self._unsent])
                self._unsent.clear()
                await self._stream.send_all(data)
                self.sends += 1
                self.bytes_out += len(data)
                self._pending_bytes -= len(data)
                if self._lot:
                    self._lot.unpark_all()
            self._writer = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _: Any) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def _read(self) -> None:
        reader, slots = self._reader, self._slots
        while data := await self._stream.receive_some(_READ_BYTES):
            self.bytes_in += len(data)
            self._progress_at = trio.current_time()
            reader.feed(data)  # type: ignore[arg-type] # it takes any buffer, whatever its stub says
            while (reply := reader.gets()) is not _NOT_YET:
                if type(reply) is hiredis.PushNotification:
                    if self._on_push is not None:
                        self._on_push(reply)
                elif not slots:
                    raise InvalidResponse("a reply that nobody asked for")
                elif slots[0].take(reply):
                    slots.popleft()
        raise EOFError

    async def _watch(self, timeout: float) -> None:
        while True:
            await trio.sleep(timeout / 4)
            if self._slots and trio.current_time() - self._progress_at > timeout:
                raise trio.TooSlowError

    def _break(self, reason: str) -> None:
        self._broken = reason
        unsent = {id(slot) for _, slot in self._unsent}
        for slot in self._slots:
            slot.fail(ConnectionLost(reason, sent=id(slot) not in unsent))
        self._slots.clear()
        self._unsent.clear()
        self._lot.unpark_all()
        self.lost.set()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
