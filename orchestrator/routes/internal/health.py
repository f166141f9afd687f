"""Open routes for probes: plain documents, no envelope."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve
from quart import Response, request

from orchestrator.codec import encode
from orchestrator.middleware.exchange import JSON, Exchange, respond
from orchestrator.services.container import Services
from orchestrator.services.operations.health import HealthReport

View = Callable[[], Awaitable[Response]]


def health_views(services: Services) -> dict[str, View]:
    """Return the views of the health routes, by path."""

    async def live() -> Response:
        return _plain({"status": "ok"}, 200)

    async def ready() -> Response:
        return _report(await services.health.readiness())

    async def summary() -> Response:
        return _report(await services.health.summary())

    async def readiness() -> Response:
        report = await services.health.readiness()
        return _report(evolve(report, status="ok" if report.ready else "error"), ready=report.ready)

    return {
        "/health": summary,
        "/health/live": live,
        "/health/liveness": live,
        "/health/ready": ready,
        "/health/readiness": readiness,
    }


def _report(report: HealthReport, *, ready: bool | None = None) -> Response:
    return _plain(report, 200 if (report.ready if ready is None else ready) else 503)


def _plain(content: Any, status: int) -> Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return respond(Exchange.begin(request.scope), encode(content), status, JSON, headers)
