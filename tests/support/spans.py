"""Spans that a test makes, kept in memory instead of sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import format_span_id, format_trace_id

from orchestrator.telemetry.tracing.recorder import OtelRecorder
from orchestrator.telemetry.tracing.spans import recording


@frozen
class Spans:
    """What has been kept so far, in the order in which it has ended."""

    exporter: InMemorySpanExporter

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, *names: str) -> list[ReadableSpan]:
        """Spans with these names, in the order in which they have begun."""
        found = [span for span in self.all() if span.name in names]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    def children(self, span: ReadableSpan) -> list[ReadableSpan]:
        return [child for child in self.all() if child.parent and child.parent.span_id == span.context.span_id]

    def tree(self, span: ReadableSpan) -> dict[str, object]:
        """Names, as they hang on each other."""
        return {child.name: self.tree(child) for child in self.children(span)}

    def said(self) -> str:
        """All that is said in any of them."""
        return repr(
            [
                (
                    span.name,
                    dict(span.attributes or {}),
                    [(e.name, e.attributes) for e in span.events],
                    span.status.description,
                )
                for span in self.all()
            ]
        )


def traceparent(span: ReadableSpan) -> str:
    """What is sent along on behalf of a span."""
    context = span.context
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags & 1:02x}"


def failure(span: ReadableSpan) -> object:
    """Why it has failed; None: it has not."""
    return (span.attributes or {}).get("error.type") if not span.status.is_ok else None


@contextmanager
def kept_spans(sampler: Sampler = DEFAULT_ON) -> Iterator[Spans]:
    """Have spans made and kept while the block runs."""
    provider, exporter = TracerProvider(sampler, shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with recording(OtelRecorder(provider.get_tracer("tests"))):
        yield Spans(exporter)
