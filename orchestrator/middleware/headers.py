"""Headers on every answer: what browsers may do with it, and who may read it."""

from collections.abc import Iterable, Mapping
from typing import Final

from quart import Response

from orchestrator.middleware.context import header_map

_SECURITY: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
_HSTS: Final = "max-age=31536000; includeSubDomains"
_TAKEN: Final = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, X-Correlation-ID, X-Message-ID, "
    "X-Request-Priority, X-Tenant-ID, traceparent"
)
_SHOWN: Final = "Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Correlation-ID, X-Request-ID"


class AnswerHeaders:
    """Adds security headers, and those of CORS for origins that are allowed.

    Args:
        allowed_origins: origins of browsers that may call; `*`: all.
        always_tls: whether clients reach the service by TLS even where a proxy ends it.
    """

    def __init__(self, allowed_origins: Iterable[str], *, always_tls: bool) -> None:
        self._origins = frozenset(allowed_origins)
        self._always_tls = always_tls

    def allows(self, origin: str) -> bool:
        """Tell whether pages of `origin` may call."""
        return "*" in self._origins or origin in self._origins

    def add(self, scope: Mapping[str, object], response: Response) -> Response:
        """Complete a response to the request of the ASGI `scope`; what it already says stays."""
        fields = response.headers
        present = {name.lower() for name, _ in fields}
        for name, value in _SECURITY:
            if name.lower() not in present:
                fields.add(name, value)
        if self._always_tls or scope["scheme"] == "https":
            fields.add("Strict-Transport-Security", _HSTS)
        if self._origins:
            self._add_cors(scope, response)
        return response

    def _add_cors(self, scope: Mapping[str, object], response: Response) -> None:
        fields = response.headers
        fields.add("Vary", "Origin")
        asked = header_map(scope)
        origin = asked.get("origin")
        if origin is None or not self.allows(origin):
            return
        fields.add("Access-Control-Allow-Origin", origin)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            fields.add("Access-Control-Allow-Methods", fields.get("Allow", ""))
            fields.add("Access-Control-Allow-Headers", _TAKEN)
            fields.add("Access-Control-Max-Age", "600")
        else:
            fields.add("Access-Control-Expose-Headers", _SHOWN)
