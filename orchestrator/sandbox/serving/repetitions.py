"""Idempotency: a repeated key gets the first answer again, and the work is done once."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import define, field, frozen

from orchestrator.sandbox.serving.http_server import ConnectionCut, SandboxAnswer, SandboxReply, Stream, Writer

KEPT_ANSWERS: Final = 10_000
LONGEST_SECONDS: Final = 60.0
"""Time for which a stream without a client goes on, in seconds."""

Name = tuple[str, ...]
_CLIENT_GONE = (ConnectionCut, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


@frozen
class _Lines:
    """A recorded stream."""

    pieces: tuple[bytes, ...]
    content_type: str

    def stream(self) -> Stream:
        async def run(writer: Writer) -> None:
            for piece in self.pieces:
                await writer.send(piece)

        return Stream(run, self.content_type)


@define(eq=False)
class Repetitions:
    """Stores answers by name; concurrent requests of one name run one by one."""

    _answers: OrderedDict[Name, SandboxReply | _Lines] = field(factory=OrderedDict, init=False)
    _locks: dict[Name, trio.Lock] = field(factory=dict, init=False)

    async def once(self, name: Name, make: Callable[[], Awaitable[SandboxAnswer]]) -> SandboxAnswer:
        """Return the stored answer of this name, else the one that `make` returns."""
        lock = self._lock(name)
        async with lock:
            known = self._answers.get(name)
            answer = await make() if known is None else known
            if known is None and isinstance(answer, SandboxReply):
                self._keep(name, answer)
        self._forget(name, lock)
        if isinstance(answer, Stream):
            return Stream(lambda writer: self._stream(name, answer, writer), answer.content_type)
        return answer.stream() if isinstance(answer, _Lines) else answer

    async def _stream(self, name: Name, stream: Stream, writer: Writer) -> None:
        """Stream an answer to its end even if the client disconnects, and store it."""
        lock = self._lock(name)
        async with lock:
            known = self._answers.get(name)
            if known is None:
                recorder = _Recorder(writer)
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LONGEST_SECONDS):
                    if await stream.run(recorder) is not False:
                        self._keep(name, _Lines(tuple(recorder.pieces), stream.content_type))
        self._forget(name, lock)
        if isinstance(known, _Lines):
            await known.stream().run(writer)
        elif known is None and recorder.gone is not None:
            raise recorder.gone

    def _keep(self, name: Name, answer: SandboxReply | _Lines) -> None:
        self._answers[name] = answer
        if len(self._answers) > KEPT_ANSWERS:
            self._answers.popitem(last=False)

    def _lock(self, name: Name) -> trio.Lock:
        return self._locks.setdefault(name, trio.Lock())

    def _forget(self, name: Name, lock: trio.Lock) -> None:
        if not lock.locked():
            self._locks.pop(name, None)


class _Recorder(Writer):
    """Sends pieces while the client is connected, and records all of them."""

    def __init__(self, inner: Writer) -> None:
        super().__init__(inner.send)
        self.pieces: list[bytes] = []
        self.gone: Exception | None = None

    async def send(self, piece: bytes) -> None:
        self.pieces.append(piece)
        if self.gone is not None:
            return
        try:
            await super().send(piece)
        except _CLIENT_GONE as error:
            self.gone = error
