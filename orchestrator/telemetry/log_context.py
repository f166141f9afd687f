"""What every log line of a request, a socket or a task says of it: asked for when a line is written, and not before."""

from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from orchestrator.telemetry.tracing.spans import current_ids

Fields = Callable[[], Mapping[str, Any]]
_CURRENT: Final[ContextVar[Fields | None]] = ContextVar("log_fields", default=None)


def log_with(fields: Fields) -> None:
    """Have all log lines of the current trio task, and of those that it starts, say what `fields` returns."""
    _CURRENT.set(fields)


def add_context(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what is known of the current request, socket or task to a line, beneath what the line says itself.

    Where it is traced, the line belongs to the current span.
    """
    fields = _CURRENT.get()
    if fields is not None:
        for name, value in fields().items():
            if value:
                line.setdefault(name, value)
    ids = current_ids()
    if ids is not None:
        line["trace_id"], line["span_id"] = ids.trace_id, ids.span_id
    return line
