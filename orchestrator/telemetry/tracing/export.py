"""Sending spans to a collector: OTLP over HTTP, by a thread of OpenTelemetry's SDK, from a queue with a bound.

Imported only where tracing is on: it takes the extra `otel`. docs/decisions/0016-spans.md says why a thread may do it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

import structlog
from attrs import define, frozen
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from orchestrator.telemetry.log_lines import SERVICE
from orchestrator.telemetry.tracing.export_settings import ExportSettings
from orchestrator.telemetry.tracing.recorder import OtelRecorder

SCOPE: Final = "orchestrator"
"""Names who has made the spans."""
_DISTRIBUTION: Final = "nooble-orch"
_QUIET_SECONDS: Final = 60.0
_MOST_REASONS: Final = 64
_LIBRARY: Final = "opentelemetry"
_log = structlog.get_logger("orchestrator.telemetry.tracing")


@frozen
class Exporter:
    """What sends the spans of a process."""

    recorder: OtelRecorder
    flush: Callable[[], None]
    """Sends the last ones; waits for the collector."""
    give_up: Callable[[], None]
    """Has what is sent be the last, and not be tried again."""


@contextmanager
def open_exporter(otel: ExportSettings, sent: Callable[[str, int], None]) -> Iterator[Exporter]:
    """Have spans collected and sent; what the SDK has to say is logged while the block runs.

    Args:
        otel: what is sent where.
        sent: counts spans by outcome, `sent` or `failed`; called from another thread.
    """
    with _heard_library():
        provider = TracerProvider(sampler_of(otel), resource_of(otel), shutdown_on_exit=False)
        counted = _CountedExporter(_otlp(otel), sent)
        provider.add_span_processor(
            BatchSpanProcessor(
                counted,
                max_queue_size=otel.bsp_max_queue_size,
                schedule_delay_millis=otel.bsp_schedule_delay,
                max_export_batch_size=otel.bsp_max_export_batch_size,
            )
        )
        recorder = OtelRecorder(provider.get_tracer(SCOPE, version(_DISTRIBUTION)))
        yield Exporter(recorder, provider.shutdown, counted.shutdown)


def sampler_of(otel: ExportSettings) -> Sampler:
    """Return what decides which traces are kept."""
    bare = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(otel.traces_sampler_arg),
    }
    root = bare[otel.traces_sampler.removeprefix("parentbased_")]
    return ParentBased(root) if otel.traces_sampler.startswith("parentbased_") else root


def resource_of(otel: ExportSettings) -> Resource:
    """Return what is told of the process."""
    told = {"service.name": SERVICE, "service.version": version(_DISTRIBUTION), **otel.resource}
    return Resource.create(told | ({"service.name": otel.service_name} if otel.service_name else {}))


def _otlp(otel: ExportSettings) -> SpanExporter:
    return OTLPSpanExporter(
        endpoint=otel.endpoint,
        certificate_file=otel.exporter_otlp_certificate or None,
        client_key_file=otel.exporter_otlp_client_key or None,
        client_certificate_file=otel.exporter_otlp_client_certificate or None,
        headers=otel.headers,
        timeout=otel.exporter_otlp_timeout / 1000,
        compression=Compression(otel.exporter_otlp_compression),
    )


class _CountedExporter(SpanExporter):
    """Passes batches on, and counts what becomes of their spans."""

    def __init__(self, exporter: SpanExporter, sent: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._sent = sent
        self._ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, in the SDK's thread."""
        result = SpanExportResult.FAILURE
        try:
            if not self._ended:
                result = self._exporter.export(spans)
        finally:
            self._sent("sent" if result is SpanExportResult.SUCCESS else "failed", len(spans))
        return result

    def shutdown(self) -> None:
        """Send no more; the SDK does it again where that was done before its time."""
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


@define(eq=False)
class _Repeated:
    until: float
    passed_over: int = 0


class _Listener(logging.Handler):
    """Logs what the SDK warns of, each kind once a minute: a collector that is away is told of at each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kinds: dict[str, _Repeated] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log a warning."""
        now, kind = time.monotonic(), f"{record.name}:{record.lineno}"
        known = self._kinds.get(kind)
        if known is not None and now < known.until:
            known.passed_over += 1
            return
        if len(self._kinds) >= _MOST_REASONS:
            self._kinds.clear()
        self._kinds[kind] = _Repeated(now + _QUIET_SECONDS)
        repeated = known.passed_over if known else 0
        kind_of_error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        _log.warning("tracing.trouble", reason=record.getMessage(), error=kind_of_error, repeated=repeated)


@contextmanager
def _heard_library() -> Iterator[None]:
    """Take the warnings of the SDK, which would be written as they are to stderr, into the log."""
    logger, listener = logging.getLogger(_LIBRARY), _Listener()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = before
