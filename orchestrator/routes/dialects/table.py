"""The documented names of all routes, by the name of the route; a route that is not here has none."""

from typing import Final

from orchestrator.routes.dialects.agents import AGENTS
from orchestrator.routes.dialects.chat import CHAT
from orchestrator.routes.dialects.record import RouteDialect
from orchestrator.routes.dialects.runs import RUNS
from orchestrator.routes.dialects.sessions import SESSIONS

DIALECTS: Final[dict[str, RouteDialect]] = {**SESSIONS, **CHAT, **RUNS, **AGENTS}
_REPORTS: Final = frozenset({("POST", "workflow.results")})
"""Routes by which services report under the name of one that clients ask; what they are answered has other fields."""


def dialect_of(method: str, name: str) -> RouteDialect | None:
    """Return the documented names of a route; None: it has none."""
    return None if (method, name) in _REPORTS else DIALECTS.get(name)
