"""Spans of what comes in: requests, and the frames of sockets that ask for work.

A request's span ends with the last byte of its answer, so that of a stream (server-sent events) lasts as long as the
stream does. A socket has none: each frame that asks for work begins a trace.
"""

from typing import Final

from orchestrator.telemetry.tracing.spans import NO_SPAN, OpenSpan, Parent, Request, SpanKind, begin, is_recording

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_OTHER: Final = "_OTHER"
"""Stands for every other method (semantic conventions)."""
_LONGEST: Final = 512
"""Characters of a path or a host that are kept."""


def begin_request(method: str, scheme: str, path: str, host: str, parent: Parent | None) -> OpenSpan:
    """Begin the span of an HTTP request; it is the current one.

    Args:
        method: as it came.
        scheme: `http` or `https`.
        path: without the query, which may hold a credential.
        host: that was asked for, as the client says.
        parent: the trace context that came with it.
    """
    if not is_recording():
        return NO_SPAN
    known = method if method in _METHODS else _OTHER
    name, colon, port = host.rpartition(":")
    numbered = bool(colon) and port.isascii() and port.isdecimal()
    said = {
        "http.request.method": known,
        "http.request.method_original": None if known == method else method[:_LONGEST],
        "url.scheme": scheme,
        "url.path": path[:_LONGEST],
        "server.address": (name if numbered else host).strip("[]")[:_LONGEST],
        "server.port": int(port[:5]) if numbered else None,
    }
    return begin(known, SpanKind.SERVER, said, parent, remote=True, current=True)


def end_request(
    span: OpenSpan,
    *,
    method: str,
    route: str | None,
    status: int,
    error_code: str | None,
    tenant_id: str | None,
    session_id: str | None,
    correlation_id: str,
    request_id: str,
) -> None:
    """End the span of a request.

    Args:
        span: the span.
        method: as it came.
        route: the rule that has matched; None: none has.
        status: the HTTP status; 499: the client left before the answer.
        error_code: of the error that was answered; None: it was none.
        tenant_id: whose request it was, as far as that is known.
        session_id: the session that it names.
        correlation_id: of the request.
        request_id: the same.
    """
    if span is NO_SPAN:
        return
    said = {
        "http.route": route,
        "http.response.status_code": status,
        "nooble.tenant_id": tenant_id,
        "nooble.session_id": session_id,
        "nooble.correlation_id": correlation_id,
        "nooble.request_id": request_id,
        "nooble.error_code": error_code,
    }
    span.say(said)
    if route is not None:
        span.name(f"{method if method in _METHODS else _OTHER} {route}")
    if status >= 500:
        span.fail(error_code or str(status))
    span.end()


def begin_frame(name: str, request: Request, session_id: str) -> OpenSpan:
    """Begin the span of a frame of a socket; it is the current one.

    Args:
        name: the frame's type, such as `chat.message`.
        request: what is known of it.
        session_id: of the socket; empty: it has none.
    """
    if not is_recording():
        return NO_SPAN
    said = {
        "network.protocol.name": "websocket",
        "nooble.frame": name,
        "nooble.tenant_id": request.tenant_id,
        "nooble.session_id": session_id,
        "nooble.correlation_id": request.correlation_id,
        "nooble.request_id": request.request_id,
    }
    return begin(f"frame {name}", SpanKind.SERVER, said, None, current=True)
