"""Bodies of level 2 (messages with `type`, `metadata` and `payload`), and results in answers of both levels."""

from typing import Any

import trio

from orchestrator.clients.dialects.requests import envelope
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.http_errors import told_error
from orchestrator.dialects.failures import failure_in, read_failure
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation


def message(call: CallContext, operation: Operation, payload: dict[str, Any], /, **metadata: Any) -> dict[str, Any]:
    """Write a message to a service of level 2.

    Args:
        call: tenant, correlation, origin and deadline.
        operation: gives the message its type.
        payload: fields of the operation.
        metadata: `session_id`, `task_id` and the like; None is left out.
    """
    return envelope(call, operation, payload, metadata, left_ms_of(call))


def left_ms_of(call: CallContext) -> int:
    """Return how long the answer to a call is still of use, at least 1."""
    return max(1, round((call.deadline - trio.current_time()) * 1000))


def payload(answer: ServiceAnswer, *, own: bool = False) -> ServiceAnswer:
    """Return the payload of an answer of level 2.

    Args:
        answer: the whole of it.
        own: whether its error would be one of an agent's or a tool's own.

    Raises:
        ServiceRefused: the answer has an `error` instead.
        BadGateway: the same, where the error is retryable.
        InvalidAnswer: there is no payload.
    """
    failure = failure_in(answer.fields)
    if failure is not None:
        raise told_error(answer.service, failure, own=own)
    return body_of(answer)


def body_of(answer: ServiceAnswer) -> ServiceAnswer:
    """Return what a message holds: its payload, or its `data`, as the Workflow Engine and messages 1.0 have it.

    Raises:
        InvalidAnswer: there is neither.
    """
    return answer.inner("data" if "payload" not in answer.fields and "data" in answer.fields else "payload")


def taken(answer: ServiceAnswer) -> None:
    """See to it that an answer of which nothing is read tells no failure; raises as `payload` does where it does."""
    failure = failure_in(answer.fields)
    if failure is not None:
        raise told_error(answer.service, failure)


def successful(answer: ServiceAnswer) -> ServiceAnswer:
    """Return an answer of level 3 that does not say `success: false`.

    Raises:
        ServiceRefused, BadGateway: the answer says `success: false`; its own code is in `details`.
    """
    if answer.truth("success", default=True):
        return answer
    raise told_error(answer.service, read_failure(answer.fields))


def result(operation: Operation, answer: ServiceAnswer) -> ServiceAnswer:
    """Return the result in an answer, at either level: the payload, or the plain fields.

    An answer without any body is an empty result.

    Raises:
        ServiceRefused, BadGateway: the answer has an error.
        InvalidAnswer: it has no payload.
    """
    if not answer.fields:
        return answer
    return payload(answer, own=bool(operation.callee)) if operation.domain else successful(answer)


def kind(answer: ServiceAnswer) -> str:
    """Return the type of a streamed message, such as `agent.token`; it may be a string, or domain and action."""
    if isinstance(answer.fields.get("type"), dict):
        parts = answer.inner("type")
        return f"{parts.text('domain')}.{parts.text('action')}"
    return answer.text("type")
