"""The recorder that makes spans with OpenTelemetry's API; imported only where tracing is on."""

from contextvars import Token
from typing import Final

from attrs import frozen
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags, Tracer, TraceState

from orchestrator.telemetry.tracing.spans import NO_SPAN, Attributes, OpenSpan, Parent, SpanIds, SpanKind

_KINDS: Final = {
    SpanKind.SERVER: trace.SpanKind.SERVER,
    SpanKind.CLIENT: trace.SpanKind.CLIENT,
    SpanKind.PRODUCER: trace.SpanKind.PRODUCER,
    SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
    SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
}
_NO_CONTEXT: Final = Context()


class RecordedSpan(OpenSpan):
    """A span of OpenTelemetry.

    Args:
        span: the span.
        token: gives the place of the current span back; None: it is not the current one.
        serves: whether it is of a request or a frame.
    """

    __slots__ = ("_serves", "_span", "_token")

    def __init__(self, span: Span, token: Token[Context] | None, *, serves: bool = False) -> None:
        self._span = span
        self._serves = serves
        self._token = token

    @property
    def ids(self) -> SpanIds | None:
        """Its trace context."""
        context = self._span.get_span_context()
        return SpanIds(
            trace.format_trace_id(context.trace_id),
            trace.format_span_id(context.span_id),
            context.trace_flags.sampled,
            context.trace_state.to_header(),
        )

    def name(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def say(self, attributes: Attributes) -> None:
        """Add to what it says; one that has ended stays as it is."""
        if self._span.is_recording():
            self._span.set_attributes(_said(attributes))

    def fail(self, error_type: str) -> None:
        """Note that it has failed. What the error says stays out: it may name what is a tenant's."""
        if self._span.is_recording():
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(Status(StatusCode.ERROR))

    def fail_with(self, error: BaseException) -> None:
        """Note what has ended its block: a failure by its code, or the name of its class.

        What was cancelled, and a call whose answer comes later, has not failed; nor has what serves a request that is
        refused for its own faults.
        """
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not isinstance(error, Exception) or not getattr(error, "is_failure", True):
            return
        code = str(getattr(error, "code", None) or type(error).__qualname__)
        if self._serves and getattr(error, "status", 500) < 500:
            self.say({"nooble.error_code": code})
        else:
            self.fail(code)

    def end(self) -> None:
        """End it."""
        if self._token is not None:
            detach(self._token)
            self._token = None
        self._span.end()


@frozen
class OtelRecorder:
    """Makes spans.

    Args:
        tracer: of the provider that they are collected by.
    """

    tracer: Tracer

    def begin(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Parent | None, *, remote: bool, current: bool
    ) -> OpenSpan:
        """Begin a span; see `spans.begin`."""
        context = _NO_CONTEXT if parent is None else _context_of(parent, remote=remote)
        span = self.tracer.start_span(name, context, _KINDS[kind], _said(attributes))
        token = attach(trace.set_span_in_context(span, _NO_CONTEXT)) if current else None
        return RecordedSpan(span, token, serves=kind is SpanKind.SERVER)

    def current(self) -> OpenSpan:
        """Return the current span; one that does nothing where there is none."""
        span = trace.get_current_span()
        return RecordedSpan(span, None) if span.get_span_context().is_valid else NO_SPAN

    def note(self, name: str, attributes: Attributes) -> None:
        """Add an event to the current span; one that has ended takes none."""
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, _said(attributes))


def _said(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _context_of(parent: Parent, *, remote: bool) -> Context:
    context = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        remote,
        TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
        TraceState.from_header([parent.state]) if parent.state else None,
    )
    return trace.set_span_in_context(NonRecordingSpan(context), _NO_CONTEXT)
