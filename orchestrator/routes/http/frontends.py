"""Whether a request comes from a frontend of the platform's guide, as far as it says so."""

from collections.abc import Mapping
from typing import Any, Final

import trio
from quart import Request

from orchestrator.codec import parse_request
from orchestrator.errors import InvalidBody
from orchestrator.middleware.exchange import Exchange
from orchestrator.models.common.ids import is_id
from orchestrator.routes.dialects.failures import failure_of

FRONTEND: Final = "frontend"
"""What such a request has as `source_service`, or in the header `X-Source-Service`."""
LARGE_BYTES: Final = 16_384
"""A body above this is not read for a request that is refused."""
OVERHEAR_SECONDS: Final = 1.0
"""How long the body of a refused request is waited for."""
_GUIDE: Final = frozenset({"x-tenant-id", "x-message-id", "x-correlation-id"})
"""Headers that the guide has its clients send with every request; of others, none has a reason to send all of them."""


def follows_the_guide(headers: Mapping[str, str]) -> bool:
    """Tell whether a request has all headers that the guide asks for: one without a body says no more of its sender."""
    return headers.keys() >= _GUIDE


def is_large(headers: Mapping[str, str]) -> bool:
    """Tell whether a body is announced as large, or not announced at all (`Transfer-Encoding: chunked`)."""
    length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
    return not length.isdecimal() or int(length) > LARGE_BYTES


class Frontends:
    """Notes of requests at a route to whom their failures are told.

    Args:
        route_name: the route, `domain.action`.
    """

    def __init__(self, route_name: str) -> None:
        self._tell_failure = failure_of(route_name)

    def look(self, exchange: Exchange) -> None:
        """Note what the headers say."""
        if exchange.headers.get("x-source-service") == FRONTEND:
            exchange.tell_failure = self._tell_failure

    def hear(self, exchange: Exchange, envelope: Mapping[str, Any]) -> None:
        """Note what an envelope says: who sends it, and which request an answer belongs to."""
        if envelope.get("source_service") == FRONTEND:
            exchange.tell_failure = self._tell_failure
        named = envelope.get("correlation_id")
        if isinstance(named, str) and is_id(named) and not is_id(exchange.headers.get("x-correlation-id", "")):
            exchange.correlation_id = named

    async def overhear(self, request: Request, exchange: Exchange) -> None:
        """Note what the envelope says of a request that was refused before its body was read.

        A body that is large or of unknown length, that its client holds back until it is asked for, or that does not
        come within `OVERHEAR_SECONDS` is left alone.
        """
        headers = exchange.headers
        announced = "content-length" in headers and "expect" not in headers
        if exchange.tell_failure is not None or not announced or is_large(headers):
            return
        raw = b""
        with trio.move_on_after(OVERHEAR_SECONDS):
            raw = await request.get_data(cache=True, as_text=False)  # type: ignore[assignment] # bytes without as_text
        try:
            content = parse_request(raw) if raw else None
        except InvalidBody:
            return
        # An envelope's type is an object; a field of that name may be something else.
        if isinstance(content, dict) and ("data" in content or isinstance(content.get("type"), dict)):
            self.hear(exchange, content)
