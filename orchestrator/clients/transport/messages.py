"""Bodies of level 2 (messages with `type`, `metadata` and `payload`), and results in answers of both levels."""

from typing import Any

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.http_errors import told_error
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.downstream.operation import Operation


def message(call: CallContext, operation: Operation, payload: dict[str, Any], /, **metadata: Any) -> dict[str, Any]:
    """Write a message to a service of level 2.

    Args:
        call: tenant, correlation and deadline.
        operation: gives the message its type.
        payload: fields of the operation.
        metadata: `session_id`, `task_id` and the like; None is left out.
    """
    return {
        "message_id": new_id(),
        "correlation_id": call.correlation_id,
        "tenant_id": call.tenant_id,
        "type": {"domain": operation.domain, "action": operation.name},
        "schema_version": "1.1",
        "created_at": to_timestamp(now_ms()),
        "source_service": "agent_orchestrator",
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "payload": payload,
    }


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
    error = answer.fields.get("error")
    if isinstance(error, dict):
        raise told_error(answer.service, error, own=own)
    return answer.inner("payload")


def successful(answer: ServiceAnswer) -> ServiceAnswer:
    """Return an answer of level 3 that does not say `success: false`.

    Raises:
        ServiceRefused, BadGateway: the answer says `success: false`; its own code is in `details`.
    """
    if answer.truth("success", default=True):
        return answer
    error = answer.fields.get("error")
    raise told_error(answer.service, error if isinstance(error, dict) else answer.fields)


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
