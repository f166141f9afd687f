"""Messages to services in the documented shape: the envelope 1.1 with all its fields, and what operations have beside.

Nothing is taken away: a documented field stands beside the service's own.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from attrs import frozen

from orchestrator.models.agents.tool import ToolKind
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.tasks.task import TaskStatus

SOURCE: Final = "agent_orchestrator"
MAX_TOKENS: Final = 4096
"""How long an answer may be where neither the request nor the agent's configuration says."""
TOOL_TYPES: Final = ",".join(("rag", "external_api", *ToolKind))
"""The types of tools that a list is asked for: those that the documents name, and the service's own kinds.

A registry that filters strictly would hide the tools of a type that is not named.
"""
_CHARACTERS_A_TOKEN: Final = 4
_CANCEL_REASONS: Final[dict[str, tuple[str, str]]] = {
    "user": ("user_requested", "the user asked for it"),
    "operator": ("system", "an operator has stopped it"),
    "timeout": ("timeout", "its time was over"),
    "error": ("error", "the task has failed"),
    "system": ("system", "the task has ended"),
}
"""The documented code of what has ended a task, and what is said of it."""
CLIENT_VERSION: Final = version("nooble-orch")

Fields = dict[str, Any]


@frozen
class Message:
    """What an operation says beside the envelope."""

    payload: Fields
    metadata: Fields


def _unchanged(message: Message) -> Message:
    return message


@frozen
class DocumentedOperation:
    """How the documents have a message of one operation."""

    type: str | None = None
    """`domain.action`; None: the operation's own."""
    priority: int = 5
    status: TaskStatus = TaskStatus.PENDING
    parameters: Callable[[Fields], Fields] = dict
    """Adds what a request has beside: to its query, or to its payload."""
    message: Callable[[Message], Message] = _unchanged
    """Adds what a message has in its payload and its metadata."""


def documented(operation: Operation) -> DocumentedOperation:
    """Return how the documents have an operation; one that they do not know has nothing of its own."""
    return _OPERATIONS.get(operation.key, _PLAIN)


def domain_action(operation: Operation) -> str:
    """Return the type of an operation's messages, such as `message.store`."""
    return documented(operation).type or f"{operation.domain or operation.service}.{operation.name}"


def envelope(
    call: CallContext, operation: Operation, payload: Fields, metadata: Mapping[str, Any], left_ms: int
) -> Fields:
    """Write a message to a service.

    Args:
        call: the tenant, and the work that the call is part of.
        operation: gives the message its type.
        payload: fields of the operation; they may contain those of its path.
        metadata: `task_id`, `callback_token` and the like; None is left out.
        left_ms: how long the answer is waited for.
    """
    shape, origin = documented(operation), call.origin
    domain, _, action = domain_action(operation).partition(".")
    common: Fields = {
        **origin.carried,
        "source": "api",
        "trace_id": call.trace.trace_id,
        "source_request_id": call.request_id,
        "user_id": origin.user_id or None,
        "session_id": origin.session_id or None,
        "conversation_id": origin.conversation_id or None,
        "agent_id": origin.agent_id or None,
        "timeout_ms": left_ms,
    }
    if operation.key not in _OPERATIONS:
        # The documents know no such message: it says what it has to say.
        common = dict(origin.carried)
    told = {name: value for name, value in metadata.items() if value is not None}
    said = shape.message(Message(dict(payload), common | told))
    message_id = new_id()
    whole = {
        "message_id": message_id,
        "task_id": payload.get("task_id") or told.get("task_id") or origin.task_id or message_id,
        "tenant_id": call.tenant_id,
        "correlation_id": call.correlation_id,
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "status": shape.status,
        "type": {"domain": domain, "action": action},
        "priority": shape.priority,
        "source_service": SOURCE,
        "target_service": operation.service,
        "session_id": said.metadata.get("session_id"),
        "conversation_id": said.metadata.get("conversation_id"),
        "metadata": {name: value for name, value in said.metadata.items() if value is not None},
        "payload": said.payload,
    }
    return {name: value for name, value in whole.items() if value is not None}


def agent_context(context: Mapping[str, Any]) -> list[Fields]:
    """Return what an agent is told beside the question, as a list of items with a type each."""
    items: list[Fields] = [{"type": "conversation_history", "content": context.get("messages") or []}]
    if context.get("context_summary"):
        items.append({"type": "conversation_summary", "content": context["context_summary"]})
    if context.get("attachments"):
        items.append({"type": "attachments", "content": context["attachments"]})
    rest = {name: value for name, value in context.items() if name not in _ITEMS}
    if rest:
        items.append({"type": "session_context", "content": rest})
    return items


_ITEMS: Final = frozenset({"messages", "context_summary", "attachments"})


def _execute_agent(message: Message) -> Message:
    payload = dict(message.payload)
    context = payload.get("context")
    payload["context"] = context if isinstance(context, list) else agent_context(context or {})
    configured = (payload.get("agent_config") or {}).get("parameters")
    asked = payload.get("max_tokens") or (configured.get("max_tokens") if isinstance(configured, dict) else None)
    payload["max_tokens"] = asked if isinstance(asked, int) and not isinstance(asked, bool) else MAX_TOKENS
    metadata = {
        **message.metadata,
        "expected_duration_ms": message.metadata.get("expected_duration_ms") or message.metadata["timeout_ms"],
        "client_version": message.metadata.get("client_version") or CLIENT_VERSION,
    }
    return Message(payload, metadata)


def _tool_result(message: Message) -> Message:
    return Message({**message.payload, "call_id": message.payload.get("tool_call_id")}, message.metadata)


def _cancel_agent(message: Message) -> Message:
    code, words = _cancel_reason(message)
    told = {"reason": words, "immediate": True, "save_state": False}
    return Message(told | message.payload, {**message.metadata, "reason_code": code})


def _cancel_workflow(message: Message) -> Message:
    code, words = _cancel_reason(message)
    return Message({"reason": words} | message.payload, {**message.metadata, "reason_code": code})


def _cancel_reason(message: Message) -> tuple[str, str]:
    return _CANCEL_REASONS.get(message.metadata.get("reason_code") or "", _CANCEL_REASONS["system"])


def _execute_workflow(message: Message) -> Message:
    payload, metadata = dict(message.payload), dict(message.metadata)
    options: Fields = {"wait_for_completion": False}
    callback_url = metadata.pop("callback_url", None)
    if callback_url:
        options["callback_url"] = callback_url
    # The run has the name of its task, unless the engine gives it another one.
    if payload.get("task_id"):
        payload.setdefault("execution_id", payload["task_id"])
    payload.setdefault("execution_options", options)
    return Message(payload, metadata)


def _workflow_input(message: Message) -> Message:
    payload = {**message.payload, "input_data": message.payload.get("input")}
    return Message(payload, message.metadata)


def _create_conversation(message: Message) -> Message:
    return Message({"metadata": {}, "initial_context": [], "tags": []} | message.payload, message.metadata)


def _store_message(message: Message) -> Message:
    said = message.payload
    stored = {
        "id": said.get("message_id"),
        "role": said.get("role"),
        "content": said.get("content"),
        "timestamp": said.get("created_at"),
        "content_type": said.get("content_type") or "text/plain",
        "tokens": _tokens(said),
    }
    payload = {**said, "message": stored, "update_context": True, "important": False}
    return Message(payload, message.metadata)


def _tokens(said: Fields) -> int:
    """Return how many tokens a message has: those that an agent has counted, else by its length."""
    metadata = said.get("metadata")
    usage = metadata.get("usage") if isinstance(metadata, dict) else None
    counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if isinstance(counted, int) and counted > 0:
        return counted
    return -(-len(str(said.get("content") or "")) // _CHARACTERS_A_TOKEN)


def _latest(query: Fields) -> Fields:
    return {**query, "version": query.get("version") or "latest", "include_memory": "true"}


def _first_page(query: Fields) -> Fields:
    return {"offset": 0} | query


def _all_types(query: Fields) -> Fields:
    return {"types": TOOL_TYPES} | query


_PLAIN: Final = DocumentedOperation(priority=1)
_OPERATIONS: Final[dict[tuple[str, str], DocumentedOperation]] = {
    ("agent_execution", "execute"): DocumentedOperation(priority=3, message=_execute_agent),
    ("agent_execution", "tool_result"): DocumentedOperation(priority=2, message=_tool_result),
    ("agent_execution", "cancel"): DocumentedOperation(priority=1, status=TaskStatus.CANCELLED, message=_cancel_agent),
    ("workflow_engine", "execute"): DocumentedOperation(message=_execute_workflow),
    ("workflow_engine", "cancel"): DocumentedOperation(message=_cancel_workflow),
    ("workflow_engine", "input"): DocumentedOperation(priority=7, message=_workflow_input),
    ("conversation", "create"): DocumentedOperation(message=_create_conversation),
    ("conversation", "append"): DocumentedOperation("message.store", message=_store_message),
    ("conversation", "remember"): DocumentedOperation("memory.update"),
    ("conversation", "messages"): DocumentedOperation(parameters=_first_page),
    ("agent_management", "get"): DocumentedOperation(parameters=_latest),
    ("tool_registry", "list"): DocumentedOperation(parameters=_all_types),
    ("tool_registry", "execute"): DocumentedOperation(priority=2),
    ("tool_registry", "async_execute"): DocumentedOperation("tool.execute", priority=2),
}
