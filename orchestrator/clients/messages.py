"""The bodies of level 2: messages with `type`, `metadata` and `payload`."""

from typing import Any

from orchestrator.clients.answers import Answer
from orchestrator.clients.refusals import told_error
from orchestrator.models.call import CallContext
from orchestrator.models.ids import new_id
from orchestrator.models.timestamps import now_ms, to_timestamp


def message(call: CallContext, domain: str, action: str, payload: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """Write a message to a service of level 2.

    Args:
        call: on whose behalf.
        domain: what it is about.
        action: what is to be done.
        payload: its fields.
        metadata: what it belongs to: `session_id`, `task_id` and the like; None is left out.
    """
    return {
        "message_id": new_id(),
        "correlation_id": call.correlation_id,
        "tenant_id": call.tenant_id,
        "type": {"domain": domain, "action": action},
        "schema_version": "1.1",
        "created_at": to_timestamp(now_ms()),
        "source_service": "agent_orchestrator",
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "payload": payload,
    }


def payload(answer: Answer) -> Answer:
    """Return the payload of an answer of level 2.

    Raises:
        ServiceRefused: the answer carries an `error` instead.
        BadGateway: the same, where the service says that a retry helps; or there is no payload.
    """
    error = answer.fields.get("error")
    if isinstance(error, dict):
        raise told_error(answer.service, error)
    return answer.inner("payload")


def kind(answer: Answer) -> str:
    """Return what a message of a stream is: `agent.token`; the type may be a string, or domain and action."""
    if isinstance(answer.fields.get("type"), dict):
        parts = answer.inner("type")
        return f"{parts.text('domain')}.{parts.text('action')}"
    return answer.text("type")
