"""Failures of requests that come from a frontend: the guide's codes in `data`, beside `error`."""

from collections.abc import Callable
from typing import Any, Final

from orchestrator.codec import unstructure
from orchestrator.dialects.frontend_errors import frontend_failure
from orchestrator.errors import NotFound, OrchestratorError
from orchestrator.middleware.exchange import Exchange

_OF_A_SESSION: Final = frozenset({"chat.message", "chat.history", "chat.summary", "agent.assign"})
"""Routes of other domains at which what is not there is a session."""


def failure_of(route_name: str) -> Callable[[Exchange, OrchestratorError], dict[str, Any]]:
    """Return what makes the `data` of a failure at a route."""
    domain = route_name.partition(".")[0]

    def tell(exchange: Exchange, error: OrchestratorError) -> dict[str, Any]:
        at_session = isinstance(error, NotFound) and route_name in _OF_A_SESSION
        told = frontend_failure(
            error,
            "session" if at_session else domain,
            request_id=exchange.request_id,
            transaction_id=exchange.correlation_id,
        )
        return dict(unstructure(told))

    return tell
