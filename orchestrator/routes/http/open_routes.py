"""Routes without envelope, which need no token: what the document says of them."""

from typing import Any, Final

from attrs import frozen

from orchestrator.errors import OrchestratorError, PermissionMissing, RateLimited, Unauthorized
from orchestrator.services.operations.health import HealthReport


@frozen
class Alive:
    """The process answers."""

    status: str = "ok"


@frozen
class OpenRoute:
    """A route that answers with a plain document."""

    name: str
    summary: str
    statuses: tuple[int, ...] = (200,)
    media_type: str = "application/json"
    model: Any = None
    errors: tuple[type[OrchestratorError], ...] = ()
    security: tuple[str, ...] = ()
    """The schemes that it takes where the settings do not open it."""


_LIMITED: Final = (RateLimited,)
"""The address's limit holds for all of them but probes."""
OPEN_ROUTES: Final = {
    "/health": OpenRoute("health.summary", "How the process and what it needs are.", (200, 503), model=HealthReport),
    "/health/live": OpenRoute("health.live", "Whether the process answers.", model=Alive),
    "/health/ready": OpenRoute("health.ready", "Whether new work may come here.", (200, 503), model=HealthReport),
    "/health/liveness": OpenRoute("health.liveness", "Another path of `/health/live`.", model=Alive),
    "/health/readiness": OpenRoute(
        "health.readiness",
        "Another path of `/health/ready`, with the statuses `ok` and `error` alone.",
        (200, 503),
        model=HealthReport,
    ),
    "/metrics": OpenRoute(
        "metrics",
        "Figures for Prometheus.",
        media_type="text/plain",
        errors=(Unauthorized, PermissionMissing, RateLimited),
        security=("apiKey", "bearer"),
    ),
    "/openapi.json": OpenRoute("openapi", "This document.", errors=_LIMITED),
    "/asyncapi.json": OpenRoute("asyncapi", "The document of the WebSockets.", errors=_LIMITED),
    "/": OpenRoute("home", "Links to the console and the documents; a page for browsers.", errors=_LIMITED),
    "/console": OpenRoute(
        "console", "The console of operators and developers.", media_type="text/html", errors=_LIMITED
    ),
    "/docs": OpenRoute("docs", "This document, to be read by people.", media_type="text/html", errors=_LIMITED),
}
"""By path. Those that an application does not serve are left out of its document."""
