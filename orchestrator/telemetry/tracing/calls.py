"""Spans of calls: each try of a call to a service, and what the gateway spends.

A try's span is what the service gets as `traceparent`. It ends with the answer, that of a stream with the stream.
"""

from typing import Final, Protocol

from orchestrator.telemetry.tracing.spans import (
    NO_SPAN,
    Attributes,
    OpenSpan,
    Parent,
    SpanKind,
    begin,
    current_span,
    is_recording,
    note,
)

_LONGEST: Final = 512
"""Characters of a path that are kept."""
_RUNS: Final = {"agent": ("invoke_agent", "gen_ai.agent.id"), "tool": ("execute_tool", "gen_ai.tool.name")}
"""What a call that runs something is to the conventions of generative AI, by the kind of what it runs."""
_RUNNING: Final = frozenset({"execute", "async_execute", "tool_result"})
"""The operations that do."""
_GATEWAY: Final = {"generate": "chat", "search": "retrieval", "embed": "embeddings"}


class Origin(Protocol):
    """The work that a call is part of; what is not known is empty."""

    @property
    def session_id(self) -> str:
        """Its session."""

    @property
    def task_id(self) -> str:
        """Its task."""


class Call(Protocol):
    """A call, as far as spans tell of it."""

    @property
    def trace(self) -> Parent:
        """The span under which it is made."""

    @property
    def tenant_id(self) -> str:
        """On whose behalf; empty: on no tenant's."""

    @property
    def correlation_id(self) -> str:
        """Of the request that it comes from."""

    @property
    def callee(self) -> str:
        """What it runs, such as `agent:echo`; empty: nothing."""

    @property
    def origin(self) -> Origin:
        """The work that it is part of."""


def begin_http_call(
    call: Call, service: str, operation: str, *, method: str, template: str, path: str, place: tuple[str, str, int]
) -> OpenSpan:
    """Begin the span of one try of a call over HTTP.

    Args:
        call: what is known of it.
        service: as in the settings.
        operation: its name in the service's record.
        method: the HTTP method.
        template: the path with `{parameters}`.
        path: the path as it is asked for; a query is cut off.
        place: scheme, host and port.
    """
    if not is_recording():
        return NO_SPAN
    scheme, host, port = place
    bare = path.partition("?")[0][:_LONGEST]
    literal = f"[{host}]" if ":" in host else host
    said = {
        **_call(call, service, operation),
        "http.request.method": method,
        "url.full": f"{scheme}://{literal}:{port}{bare}",
        "url.path": bare,
        "url.template": template,
        "server.address": host,
        "server.port": port,
    }
    return begin(f"{method} {template}", SpanKind.CLIENT, said, call.trace)


def begin_queue_call(call: Call, service: str, operation: str) -> OpenSpan:
    """Begin the span of one try of a call through a service's queue; the arguments are those of `begin_http_call`."""
    if not is_recording():
        return NO_SPAN
    said = {
        **_call(call, service, operation),
        "messaging.system": "redis",
        "messaging.destination.name": service,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.conversation_id": call.correlation_id,
    }
    return begin(f"send {service}", SpanKind.CLIENT, said, call.trace)


def _call(call: Call, service: str, operation: str) -> Attributes:
    kind, _, name = call.callee.partition(":")
    runs, label = _RUNS.get(kind, ("", "")) if operation in _RUNNING else ("", "")
    return {
        "nooble.service": service,
        "nooble.operation": operation,
        "nooble.tenant_id": call.tenant_id,
        "nooble.session_id": call.origin.session_id,
        "nooble.task_id": call.origin.task_id,
        "nooble.correlation_id": call.correlation_id,
        **({"gen_ai.operation.name": runs, label: name} if runs else {}),
    }


def answered(span: OpenSpan, status: int) -> None:
    """Say with which status a service has begun to answer."""
    if span is not NO_SPAN:
        span.say({"http.response.status_code": status})


def note_retry(service: str, operation: str, error_code: str, delay: float) -> None:
    """Note in the current span that a call is tried again, `delay` seconds later."""
    if is_recording():
        said = {"nooble.service": service, "nooble.operation": operation, "error.type": error_code}
        note("call.retried", {**said, "nooble.delay": delay})


def note_refusal(service: str, operation: str, error_code: str) -> None:
    """Note in the current span that a call was not made: what is called is left alone, or has no room."""
    if is_recording():
        said = {"nooble.service": service, "nooble.operation": operation, "error.type": error_code}
        note("call.refused", said)


def begin_spending(
    kind: str, parent: Parent, *, service: str, model: str, tenant_id: str, agent_id: str, session_id: str,
    correlation_id: str, streams: bool = False,
) -> OpenSpan:  # fmt: skip
    """Begin the span of a call of the gateway that is not answered from the cache, with all its tries.

    Args:
        kind: `generate`, `search` or `embed`.
        parent: the request.
        service: that is asked.
        model: that was asked for; empty: the service's own.
        tenant_id: who pays.
        agent_id: for whom; empty: for no agent.
        session_id: the same.
        correlation_id: of the request.
        streams: whether the answer is streamed.
    """
    if not is_recording():
        return NO_SPAN
    operation = _GATEWAY[kind]
    said: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": service,
        "gen_ai.request.model": model,
        "gen_ai.agent.id": agent_id,
        "nooble.streams": streams,
        "nooble.tenant_id": tenant_id,
        "nooble.session_id": session_id,
        "nooble.correlation_id": correlation_id,
    }
    return begin(f"{operation} {model}".strip(), SpanKind.INTERNAL, said, parent)


def spent(span: OpenSpan, model: str, prompt_tokens: int, completion_tokens: int) -> None:
    """Say what a call of the gateway has spent."""
    if span is not NO_SPAN:
        span.say({"gen_ai.response.model": model, **_usage(prompt_tokens, completion_tokens)})


def spent_by_agent(agent_id: str | None, prompt_tokens: int, completion_tokens: int) -> None:
    """Say in the current span, that of a turn, what its agent says to have spent."""
    if is_recording():
        said = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": agent_id}
        current_span().say({**said, **_usage(prompt_tokens, completion_tokens)})


def _usage(prompt_tokens: int, completion_tokens: int) -> Attributes:
    return {"gen_ai.usage.input_tokens": prompt_tokens, "gen_ai.usage.output_tokens": completion_tokens}
