"""The start and the end of tracing in a process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from orchestrator.telemetry.tracing.export_settings import ExportSettings
from orchestrator.telemetry.tracing.spans import recording

FLUSH_SECONDS: Final = 2.0
"""That a stop waits for the last spans to be sent."""


@asynccontextmanager
async def open_tracing(otel: ExportSettings | None, sent: Callable[[str, int], None]) -> AsyncIterator[None]:
    """Make spans while the block runs, and send them; at its end the last ones, for `FLUSH_SECONDS` at most.

    Args:
        otel: what is traced, and where it is sent; None: nothing is.
        sent: counts spans by outcome, `sent` or `failed`; called from another thread.
    """
    if otel is None:
        yield
        return
    # OpenTelemetry's SDK is not even there where nothing is traced.
    from orchestrator.telemetry.tracing.export import open_exporter  # noqa: PLC0415 - it is of the extra `otel`

    with open_exporter(otel, sent) as exporter:
        try:
            with recording(exporter.recorder):
                yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FLUSH_SECONDS) as scope:
                await trio.to_thread.run_sync(exporter.flush, abandon_on_cancel=True)
            if scope.cancelled_caught:
                # Its thread still waits for an answer of the collector, for `OTEL_EXPORTER_OTLP_TIMEOUT` at most.
                exporter.give_up()
