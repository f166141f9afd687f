"""The HTTP API."""

from quart_trio import QuartTrio

from orchestrator.domain.api_keys import ApiKey
from orchestrator.middleware.install import install
from orchestrator.middleware.service_tokens import ServiceTokens
from orchestrator.routes.dialects.paths import PLAIN_PATHS
from orchestrator.routes.http.documents import document_views
from orchestrator.routes.http.endpoint import Endpoint, EndpointDeps
from orchestrator.routes.http.open_streams import OpenStreams
from orchestrator.routes.http.pages import page_views
from orchestrator.routes.http.registry import Access, Route
from orchestrator.routes.internal.api_keys import api_key_routes
from orchestrator.routes.internal.audit import internal_audit_routes
from orchestrator.routes.internal.consistency import consistency_routes
from orchestrator.routes.internal.dead_letters import dead_letter_routes
from orchestrator.routes.internal.debugging import debug_routes
from orchestrator.routes.internal.gateway import gateway_routes
from orchestrator.routes.internal.health import health_views
from orchestrator.routes.internal.load import load_routes
from orchestrator.routes.internal.metrics import metrics_views
from orchestrator.routes.internal.operators import operator_routes
from orchestrator.routes.internal.platform import platform_routes
from orchestrator.routes.internal.service_messages import service_message_routes
from orchestrator.routes.internal.task_updates import task_update_routes
from orchestrator.routes.internal.tenants import tenant_routes
from orchestrator.routes.internal.tokens import token_routes
from orchestrator.routes.public.agents import agent_routes
from orchestrator.routes.public.audit import audit_routes
from orchestrator.routes.public.batches import batch_routes
from orchestrator.routes.public.callbacks import callback_routes
from orchestrator.routes.public.chat import chat_routes
from orchestrator.routes.public.notifications import notification_routes
from orchestrator.routes.public.schedules import schedule_routes
from orchestrator.routes.public.sessions import session_routes
from orchestrator.routes.public.tasks import task_routes
from orchestrator.routes.public.tools import tool_routes
from orchestrator.routes.public.usage import usage_routes
from orchestrator.routes.public.workflows import workflow_routes
from orchestrator.routes.streams.session_stream import session_stream_routes
from orchestrator.routes.streams.tenant_stream import tenant_stream_routes
from orchestrator.services.container import Services
from orchestrator.store.events.events import FrameWriter, as_logged

ROUTES: tuple[Route, ...] = (
    *session_routes,
    *session_stream_routes,
    *chat_routes,
    *task_routes,
    *callback_routes,
    *schedule_routes,
    *batch_routes,
    *workflow_routes,
    *agent_routes,
    *tool_routes,
    *notification_routes,
    *gateway_routes,
    *usage_routes,
    *audit_routes,
    *tenant_stream_routes,
    *task_update_routes,
    *service_message_routes,
    *platform_routes,
    *tenant_routes,
    *dead_letter_routes,
    *token_routes,
    *api_key_routes,
    *load_routes,
    *debug_routes,
    *consistency_routes,
    *internal_audit_routes,
    *operator_routes,
)
"""Every route with an envelope."""


def register(app: QuartTrio, services: Services, write: FrameWriter = as_logged) -> None:
    """Give an application the HTTP API.

    Args:
        app: the application, without a static folder.
        services: what the routes call.
        write: writes the events of streams; as they stand in their logs where nothing else is said.
    """

    def stored_key(presented: str) -> ApiKey | None:
        return services.api_keys.find(presented)

    install(app, services.settings, services.metrics, services.revocations.covers, stored_key)
    services.revocations.consider(app.extensions["authenticator"].withdrawn)
    services.revocations.renew_keys = app.extensions["authenticator"].renew_keys
    streams = OpenStreams(services.revocations.covers, write)
    services.revocations.watch(streams.end_revoked)
    authenticator = app.extensions["authenticator"]
    service_tokens = ServiceTokens(authenticator, services.settings)
    deps = EndpointDeps(services, authenticator, streams, app.extensions["internal_listener"], service_tokens)
    services.address_limits.counts = app.extensions["address_limiter"]
    deps.authenticator.failures.share = services.address_limits.failure
    for route in ROUTES:
        endpoint = Endpoint(route, deps)
        # A dot in its name would make the framework look for a blueprint, at every request.
        app.add_url_rule(route.rule, route.operation.replace(".", "_"), endpoint.view(), methods=[route.method])
    by_name = {route.name: route for route in ROUTES if route.access is not Access.OPERATOR}
    for plain in PLAIN_PATHS:
        endpoint = Endpoint(by_name[plain.route], deps, fills=plain.id_name if plain.fills else None)
        app.add_url_rule(plain.rule, plain.name.replace(".", "_"), endpoint.view(), methods=[plain.method])
    open_views = health_views(services) | document_views(app, ROUTES, services.settings.public_url)
    open_views |= metrics_views(services, deps.authenticator)
    open_views |= page_views(console=services.settings.console)
    for path, view in open_views.items():
        app.add_url_rule(path, path, view, methods=["GET"])
