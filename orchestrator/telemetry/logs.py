"""Logs: JSON lines on stderr, readable ones on a terminal. They carry no content and no secrets."""

import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import structlog

from orchestrator.telemetry.log_context import add_context
from orchestrator.telemetry.log_lines import complete


def configure_logs(level: str, mask: Callable[[str], str]) -> None:
    """Set up logging for the process, and how it tells of an exception that ends it.

    Args:
        level: least level that is logged: debug, info, warning or error.
        mask: masks the secrets in a line, or in a traceback: libraries put URLs and more into their exceptions.
    """
    renderer: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()

    def masked(_: Any, __: str, line: Any) -> str:
        return mask(line)

    structlog.configure(
        processors=[
            add_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            complete,
            renderer,
            masked,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

    def tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = tell_end
