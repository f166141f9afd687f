"""Spans, the parts of a trace: where tracing is off, which is the usual case, a look at one name is all that they cost.

OpenTelemetry is behind the recorder, and not even imported while there is none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from attrs import define

Attributes = Mapping[str, str | int | float | bool | None]
"""What a span says, by the names of the semantic conventions; None and empty texts are left out."""


class SpanKind(Enum):
    """What a span is to the others of its trace."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"
    INTERNAL = "internal"


class SpanIds(NamedTuple):
    """The W3C trace context of a span."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str
    """The `tracestate`."""


class Parent(Protocol):
    """The W3C trace context of the span under which another begins."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, not all zero."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, not all zero."""

    @property
    def sampled(self) -> bool:
        """Whether the trace is kept."""

    @property
    def state(self) -> str:
        """The `tracestate`; empty: there is none."""


class Request(Protocol):
    """A request, as far as spans tell of it."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""

    @property
    def correlation_id(self) -> str:
        """What it has in common with all that comes of it."""

    @property
    def request_id(self) -> str:
        """Its own id."""


class OpenSpan:
    """A span that has begun, and ends with its block; this one is of no trace, and does nothing."""

    __slots__ = ()

    @property
    def ids(self) -> SpanIds | None:
        """Its trace context; None: nothing is traced."""
        return None

    def name(self, name: str) -> None:
        """Give it another name, now that more is known."""

    def say(self, attributes: Attributes) -> None:
        """Add to what it says."""

    def fail(self, error_type: str) -> None:
        """Note that it has failed; `error_type` is the code of the error."""

    def fail_with(self, error: BaseException) -> None:
        """Note what has ended its block."""

    def end(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail_with(error)
        self.end()


class Recorder(Protocol):
    """Makes spans."""

    def begin(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Parent | None, *, remote: bool, current: bool
    ) -> OpenSpan:
        """Begin a span under a parent; None: it begins a trace. See `begin`."""

    def current(self) -> OpenSpan:
        """Return the current span; one that does nothing where there is none, or it has ended."""

    def note(self, name: str, attributes: Attributes) -> None:
        """Add an event to the current span."""


NO_SPAN: Final = OpenSpan()


@define
class _Tracing:
    recorder: Recorder | None = None


_TRACING: Final = _Tracing()


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Have the spans of the process made by `recorder` while the block runs."""
    before, _TRACING.recorder = _TRACING.recorder, recorder
    try:
        yield
    finally:
        _TRACING.recorder = before


def is_recording() -> bool:
    """Tell whether spans are made."""
    return _TRACING.recorder is not None


def begin(
    name: str,
    kind: SpanKind,
    attributes: Attributes,
    parent: Parent | None,
    *,
    remote: bool = False,
    current: bool = False,
) -> OpenSpan:
    """Begin a span.

    Args:
        name: what it is called: of few different ones, without ids.
        kind: what it is to the others.
        attributes: what it says.
        parent: under which span it is; None: it begins a trace.
        remote: whether the parent is another process's.
        current: whether it is the current span, of its trio task and of those that it starts, until it ends, which has
            to be in the same task.
    """
    recorder = _TRACING.recorder
    if recorder is None:
        return NO_SPAN
    return recorder.begin(name, kind, attributes, parent, remote=remote, current=current)


def current_span() -> OpenSpan:
    """Return the current span, to add to it."""
    recorder = _TRACING.recorder
    return NO_SPAN if recorder is None else recorder.current()


def current_ids() -> SpanIds | None:
    """Return the trace context of the current span."""
    recorder = _TRACING.recorder
    return None if recorder is None else recorder.current().ids


def note(name: str, attributes: Attributes) -> None:
    """Add an event to the current span."""
    if _TRACING.recorder is not None:
        _TRACING.recorder.note(name, attributes)
