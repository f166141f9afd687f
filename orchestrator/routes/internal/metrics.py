"""`/metrics`, for Prometheus: behind an API key or a token, unless the settings make it public."""

from collections.abc import Awaitable, Callable
from typing import Final

from quart import Response, request

from orchestrator.errors import OrchestratorError, PermissionMissing, Unauthorized
from orchestrator.middleware.api_keys import Scope
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.errors import error_answer
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.middleware.guards.failed_credentials import credential_of
from orchestrator.middleware.refusal_audit import AUDITED, record_key_use, record_refusal
from orchestrator.services.container import Services

TELEMETRY_READ: Final = "telemetry:read"
View = Callable[[], Awaitable[Response]]


def metrics_views(services: Services, authenticator: Authenticator) -> dict[str, View]:
    """Return the view, by path."""

    async def metrics() -> Response:
        exchange = Exchange.begin(request.scope)
        failures, credential = authenticator.failures, credential_of(exchange.headers)
        tenant_id = None
        try:
            if not services.settings.metrics_public:
                failures.check(exchange.address, credential)
                tenant_id = await _seen_by(exchange)
        except OrchestratorError as error:
            if isinstance(error, Unauthorized):
                await failures.failed(exchange.address, credential)
            if isinstance(error, AUDITED):
                await record_refusal(
                    services.audit,
                    error,
                    door="metrics",
                    tenant_id="",
                    remote_address=exchange.address,
                    correlation_id=exchange.correlation_id,
                )
            return error_answer(exchange, error)
        figures, media_type = services.metrics.render(exchange.headers.get("accept", ""), tenant_id)
        return respond(exchange, figures, 200, media_type)

    async def _seen_by(exchange: Exchange) -> str | None:
        """Return the tenant whose figures are shown; None: all, by an API key."""
        headers = exchange.headers
        if "authorization" in headers and "x-api-key" not in headers:
            holder = await authenticator.principal(headers, tenant=headers.get("x-tenant-id"))
            if not holder.may(TELEMETRY_READ):
                raise PermissionMissing(f"The token lacks the permission '{TELEMETRY_READ}'.")
            return holder.tenant_id
        principal = authenticator.service(headers, Scope.METRICS, tenant_needed=False)
        await record_key_use(
            services.audit,
            name=principal.name,
            door="metrics",
            remote_address=exchange.address,
            correlation_id=exchange.correlation_id,
        )
        return None

    return {"/metrics": metrics}
