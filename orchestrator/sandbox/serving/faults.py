"""Fault injection: makes a service slow, broken or silent, for tests of the orchestrator."""

from enum import StrEnum
from typing import Final

import trio
from attrs import define, evolve

from orchestrator.sandbox.serving.http_server import (
    ConnectionCut,
    SandboxAnswer,
    SandboxReply,
    Stream,
    Writer,
    json_reply,
)

CUT_AFTER_LINES: Final = 2


class InjectedFaultKind(StrEnum):
    """Kind of a fault."""

    LATENCY = "latency"
    """The answer comes late."""
    ERROR = "error"
    """The answer is an HTTP error."""
    HANG = "hang"
    """No answer ever comes."""
    CUT = "cut"
    """The connection breaks in the middle of the answer."""
    GARBAGE = "garbage"
    """The answer has status 200, and a body that is not JSON."""


@define
class InjectedFault:
    """A fault: its kind, its scope, and its count."""

    kind: InjectedFaultKind
    service: str | None = None
    operation: str | None = None
    latency_ms: int = 0
    status: int = 500
    retry_after: int | None = None
    """Seconds, for the header `Retry-After` of an error."""
    count: int | None = None
    """Calls that it still strikes; None: all."""


def parse_fault(text: str) -> InjectedFault:
    """Read the header `X-Sandbox-Fault`: `hang`, `cut`, `garbage`, `latency:200` (ms) or `error:503`.

    Raises:
        ValueError: it is none of them.
    """
    name, _, argument = text.strip().partition(":")
    kind = InjectedFaultKind(name)
    if kind is InjectedFaultKind.LATENCY:
        return InjectedFault(kind, latency_ms=int(argument))
    if kind is InjectedFaultKind.ERROR and argument:
        return InjectedFault(kind, status=int(argument))
    return InjectedFault(kind)


class Faults:
    """The requested faults; of those that match a call the latest strikes."""

    def __init__(self) -> None:
        self._faults: list[InjectedFault] = []

    def add(self, fault: InjectedFault) -> None:
        """Add a fault."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def take(self, service: str, operation: str) -> InjectedFault | None:
        """Return the fault that strikes this call, and count it."""
        for fault in reversed(self._faults):
            if fault.service in {None, service} and fault.operation in {None, operation} and fault.count != 0:
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None


async def strike(fault: InjectedFault) -> SandboxReply | None:
    """Inject a fault; returns an answer that replaces the operation's, or None: the operation runs."""
    match fault.kind:
        case InjectedFaultKind.HANG:
            await trio.sleep_forever()
        case InjectedFaultKind.ERROR:
            headers = () if fault.retry_after is None else (("retry-after", str(fault.retry_after)),)
            error = {"code": "SANDBOX_FAULT", "message": f"The sandbox was asked to fail with {fault.status}."}
            return json_reply({"success": False, "error": error}, fault.status, headers)
        case InjectedFaultKind.GARBAGE:
            return SandboxReply(200, b"<html>This is no JSON</html>\n")
        case InjectedFaultKind.LATENCY:
            await trio.sleep(fault.latency_ms / 1000)
        case InjectedFaultKind.CUT:
            pass
    return None


def cut(answer: SandboxAnswer) -> SandboxAnswer:
    """Make an answer break off in the middle: of the body, or of the third line of a stream."""
    if isinstance(answer, SandboxReply):
        return evolve(answer, cut=True)

    async def run(writer: Writer) -> None:
        await answer.run(_CuttingWriter(writer))
        raise ConnectionCut

    return Stream(run, answer.content_type)


class _CuttingWriter(Writer):
    def __init__(self, inner: Writer) -> None:
        super().__init__(inner.send)
        self._left = CUT_AFTER_LINES

    async def send(self, piece: bytes) -> None:
        lines = piece.splitlines(keepends=True)
        whole, self._left = lines[: self._left], self._left - len(lines)
        if self._left >= 0:
            await super().send(piece)
            return
        broken = lines[len(whole)]
        await super().send(b"".join(whole) + broken[: len(broken) // 2])
        raise ConnectionCut
