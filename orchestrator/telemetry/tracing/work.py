"""Spans of work: a task's admission, its attempts, and the steps of plans.

The admission's span is the parent of the attempts', through the record of the task: whichever process runs them, they
are of the request's trace.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from orchestrator.telemetry.tracing.spans import (
    NO_SPAN,
    Attributes,
    OpenSpan,
    Parent,
    Request,
    SpanKind,
    begin,
    current_ids,
    current_span,
    is_recording,
)

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R", bound=Request)

_QUEUE: Final = "tasks"
"""The queue of a tenant, with all its lanes."""
_MESSAGING: Final = {"messaging.system": "redis", "messaging.destination.name": _QUEUE}


def admits(
    method: Callable[Concatenate[S, R, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, R, P], Coroutine[Any, Any, T]]:
    """Have a method, whose first argument is a request, run in the span of an admission, which is the current one.

    What it refuses by raising fails the span. Tasks that it makes carry the span on (`new_task`).
    """

    @wraps(method)
    async def admitting(self: S, ctx: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not is_recording():
            return await method(self, ctx, *args, **kwargs)
        said = {
            **_MESSAGING,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.message.conversation_id": ctx.correlation_id,
            "nooble.tenant_id": ctx.tenant_id,
            "nooble.correlation_id": ctx.correlation_id,
        }
        with begin(f"send {_QUEUE}", SpanKind.PRODUCER, said, current_ids(), current=True):
            return await method(self, ctx, *args, **kwargs)

    return admitting


def name_task(task_id: str, task_type: str, session_id: str | None) -> None:
    """Say in the current span which task is made."""
    if not is_recording():
        return
    current_span().say(
        {
            "messaging.message.id": task_id,
            "nooble.task_id": task_id,
            "nooble.task_type": task_type,
            "nooble.session_id": session_id,
        }
    )


def begin_attempt(
    task_type: str, parent: Parent | None, *, tenant_id: str, task_id: str, session_id: str, correlation_id: str,
    attempt: int,
) -> OpenSpan:  # fmt: skip
    """Begin the span of one attempt at a task; it is the current one.

    Args:
        task_type: its kind, one of those that are known.
        parent: the trace context in its record; None: it has none.
        tenant_id: whose it is.
        task_id: the task.
        session_id: empty: it is of none.
        correlation_id: of the request that it comes from.
        attempt: the number of the claim.
    """
    if not is_recording():
        return NO_SPAN
    said: Attributes = {
        **_MESSAGING,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": task_id,
        "messaging.message.conversation_id": correlation_id,
        "nooble.tenant_id": tenant_id,
        "nooble.session_id": session_id,
        "nooble.task_id": task_id,
        "nooble.task_type": task_type,
        "nooble.correlation_id": correlation_id,
        "nooble.attempt": attempt,
    }
    return begin(f"process {_QUEUE} {task_type}", SpanKind.CONSUMER, said, parent, remote=True, current=True)


def fail_attempt(error_code: str) -> None:
    """Note in the current span that the attempt has failed, whether or not the task is tried again."""
    current_span().fail(error_code)


def begin_step(name: str, service: str, operation: str) -> OpenSpan:
    """Begin the span of one step of a plan, with all its tries; it is the current one.

    Args:
        name: its name in the plan, which its user has chosen.
        service: that it calls.
        operation: what is called.
    """
    if not is_recording():
        return NO_SPAN
    said = {"nooble.step": name, "nooble.service": service, "nooble.operation": operation}
    return begin(f"step {service}.{operation}", SpanKind.INTERNAL, said, current_ids(), current=True)
