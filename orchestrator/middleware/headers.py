"""Headers on every answer: what browsers may do with it, and who may read it."""

from collections.abc import Iterable, Mapping
from typing import Final

import structlog
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
    "X-Request-Priority, X-Source-Service, X-Tenant-ID, traceparent"
)
_SHOWN: Final = (
    "Idempotent-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Correlation-ID, X-Next-Cursor, X-Request-ID"
)


_ANY_PORT: Final = ":*"
_ORIGIN_SHOWN: Final = 200
"""Characters of an origin that are logged."""
_ORIGINS_REPORTED: Final = 100
_log = structlog.get_logger("orchestrator.middleware.headers")


class AnswerHeaders:
    """Adds security headers, and those of CORS for origins that are allowed.

    Args:
        allowed_origins: origins of browsers that may call; `*`: all, `http://localhost:*`: those of every port.
        always_tls: whether clients reach the service by TLS even where a proxy ends it.
    """

    def __init__(self, allowed_origins: Iterable[str], *, always_tls: bool) -> None:
        given = frozenset(allowed_origins)
        self._of_any_port = frozenset(origin.removesuffix(_ANY_PORT) for origin in given if origin.endswith(_ANY_PORT))
        self._origins = given
        self._always_tls = always_tls
        self._reported: set[str] = set()

    def allows(self, origin: str) -> bool:
        """Tell whether pages of `origin` may call."""
        if "*" in self._origins or origin in self._origins:
            return True
        return bool(self._of_any_port) and _without_port(origin) in self._of_any_port

    def report(self, origin: str) -> None:
        """Log that pages of `origin` were refused, once for each of the first origins.

        Browsers show the person at the page no more than that the call has failed.
        """
        shown = origin[:_ORIGIN_SHOWN]
        if shown not in self._reported and len(self._reported) < _ORIGINS_REPORTED:
            self._reported.add(shown)
            _log.warning("origin.refused", origin=shown, hint="ORCH_ALLOWED_ORIGINS names the origins that may call")

    def add(self, scope: Mapping[str, object], response: Response) -> Response:
        """Complete a response to the request of the ASGI `scope`; what it already says stays."""
        fields = response.headers
        present = {name.lower() for name, _ in fields}
        for name, value in _SECURITY:
            if name.lower() not in present:
                fields.add(name, value)
        if self._always_tls or scope["scheme"] == "https":
            fields.add("Strict-Transport-Security", _HSTS)
        self._add_cors(scope, response)
        return response

    def _add_cors(self, scope: Mapping[str, object], response: Response) -> None:
        fields = response.headers
        if self._origins:
            fields.add("Vary", "Origin")
        elif scope["method"] != "OPTIONS":
            return
        asked = header_map(scope)
        origin = asked.get("origin")
        if origin is None:
            return
        if not self.allows(origin):
            if scope["method"] == "OPTIONS":
                self.report(origin)
            return
        fields.add("Access-Control-Allow-Origin", origin)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            fields.add("Access-Control-Allow-Methods", fields.get("Allow", ""))
            fields.add("Access-Control-Allow-Headers", _TAKEN)
            fields.add("Access-Control-Max-Age", "600")
        else:
            fields.add("Access-Control-Expose-Headers", _SHOWN)


def _without_port(origin: str) -> str:
    scheme, mark, host = origin.rpartition("://")
    name, _, port = host.rpartition(":")
    return f"{scheme}{mark}{name}" if port.isascii() and port.isdigit() else origin
