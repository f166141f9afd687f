"""The trace context of what runs now, for what it starts."""

from typing import Final

from orchestrator.models.common.principal import TraceContext
from orchestrator.models.tasks.task import TaskMetadata
from orchestrator.telemetry.tracing.spans import current_ids

STATE: Final = "tracestate"


def current_trace() -> TraceContext | None:
    """Return the trace context of the current span; None: nothing is traced."""
    ids = current_ids()
    return None if ids is None else TraceContext(*ids)


def trace_of(metadata: TaskMetadata) -> TraceContext | None:
    """Return the trace context in the record of a task; None: there is none, or no valid one."""
    state = metadata.carried.get(STATE)
    return TraceContext.read(metadata.traceparent or "", state if isinstance(state, str) else "")
