"""Putting the middleware around the application."""

from collections.abc import Callable

from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.api_keys import ApiKey
from orchestrator.frameworks.quart_inside import BoundedRequest
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.middleware.api_keys import no_stored_key
from orchestrator.middleware.auth import Authenticator, never_revoked
from orchestrator.middleware.connection import HTTPConnection
from orchestrator.middleware.errors import error_answer
from orchestrator.middleware.exchange import Exchange
from orchestrator.middleware.guards.forwarded import RemoteAddress
from orchestrator.middleware.guards.hosts import KnownHosts
from orchestrator.middleware.guards.internal_listener import InternalListener
from orchestrator.middleware.headers import AnswerHeaders
from orchestrator.models.common.principal import Principal
from orchestrator.telemetry.metrics import Metrics

BODY_SECONDS = 30
"""Deadline of a request's body."""


def install(
    app: QuartTrio,
    settings: AgentOrchestratorSettings,
    metrics: Metrics,
    revoked: Callable[[Principal], bool] = never_revoked,
    stored_key: Callable[[str], ApiKey | None] = no_stored_key,
) -> None:
    """Bound the bodies, answer every exception in the envelope, complete every answer's headers, count every request.

    Afterwards `app.extensions` has `authenticator` (`Authenticator`), `remote_address` (`RemoteAddress`),
    `address_limiter` (`AddressLimiter`), `known_hosts` (`KnownHosts`) and `answer_headers`
    (`AnswerHeaders`), for the routes and for the sockets.
    """
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.merge_slashes = False
    app.request_class = BoundedRequest
    app.asgi_http_class = HTTPConnection
    headers = AnswerHeaders(settings.allowed_origins, always_tls=settings.public_url.startswith("https://"))
    listener = InternalListener(settings.internal_bind, settings.internal_subjects)
    listener.install(app)
    app.extensions["internal_listener"] = listener
    app.extensions["metrics"] = metrics
    app.extensions["authenticator"] = Authenticator(settings, revoked, stored_key)
    app.extensions["address_limiter"] = AddressLimiter(settings.rate_address, settings.rate_burst)
    app.extensions["remote_address"] = RemoteAddress(settings.trusted_proxies)
    app.extensions["answer_headers"] = headers
    app.extensions["known_hosts"] = KnownHosts(settings.allowed_hosts)

    async def answer_exception(raised: Exception) -> Response:
        scope = websocket.scope if has_websocket_context() else request.scope
        return error_answer(Exchange.begin(scope), raised)

    async def complete(response: Response) -> Response:
        return headers.add(request.scope, response)

    app.register_error_handler(Exception, answer_exception)
    app.after_request(complete)
