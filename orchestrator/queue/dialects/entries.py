"""What an entry asks for: a documented type and payload become those of a kind of tasks that is run here."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from orchestrator.codec import parse_request
from orchestrator.dialects.aliases import read_aliases
from orchestrator.dialects.runs import EXECUTE, INPUT
from orchestrator.domain.tasks.task_messages import LARGEST, check_task_message
from orchestrator.errors import InvalidBody, PayloadTooLarge
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.common.ids import is_idempotency_key
from orchestrator.models.common.timestamps import from_timestamp, moment_fault
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.queue.dialects.envelopes import Fields, fault, own_envelope

TOOL: Final = {"tool_name": "tool_id", **dict.fromkeys(INPUT, "parameters")}
_OF_WORKFLOW: Final = ("workflow_id", "plan", "input", "metadata", "context")
_HANDED_ON: Final = ("workflow_version", "timeout_seconds")
_AGENT_STEPS: Final = ("agent_task", "agent")
_TOOL_STEPS: Final = ("tool_task", "tool")


@frozen
class EntryTask:
    """A task that an entry asks for."""

    message: TaskMessage
    due_ms: int | None = None
    """When it is due (ms); None: now."""
    wants_result: bool = False
    """Whether its result goes to the queue of results of the service that has sent it."""
    idempotency_key: str | None = None
    names_user: bool = True
    """Whether the entry says on whose behalf; else it is that of its session, or of the service that has sent it."""


def parse_entry(raw: bytes) -> Fields:
    """Parse an entry.

    Raises:
        InvalidBody: it is no JSON object.
        PayloadTooLarge: it has more than `LARGEST` bytes.
    """
    if len(raw) > LARGEST:
        raise PayloadTooLarge(f"The message has {len(raw)} bytes, and at most {LARGEST} are taken.")
    content = parse_request(raw)
    if not isinstance(content, dict):
        raise InvalidBody("The message is not an object.", details=[FieldFault("$", "must be an object")])
    return content


def read_entry(content: Fields, tenant_id: str) -> EntryTask:
    """Read an entry as a task.

    Args:
        content: the entry, parsed.
        tenant_id: whose queue it stood in.

    Raises:
        InvalidBody: it is none; with every fault.
    """
    own = own_envelope(content)
    due_ms = _moment(own["metadata"].get("carried", {}), "scheduled_for")
    message = check_task_message(own, tenant_id)
    translate = _PAYLOADS.get(str(message.type))
    if translate is not None and not _is_own(message, content):
        message = translate(message)
    carried, payload = message.metadata.carried, own.get("payload")
    callback = payload.get("callback") if isinstance(payload, dict) else None
    key = carried.get("idempotency_key")
    return EntryTask(
        message,
        due_ms,
        bool(callback or carried.get("reply_to") or carried.get("callback_queue")),
        key if isinstance(key, str) and is_idempotency_key(key) else None,
        _object(content.get("metadata")).get("user_id") is not None,
    )


def _is_own(message: TaskMessage, content: Fields) -> bool:
    """Tell whether a run of a tool is asked for as this service does it: of a tool that answers later, with a time."""
    told = _object(content.get("metadata")).get("timeout_ms")
    return str(message.type) == "tool.execute" and (told is None or "timeout_ms" in message.payload)


def _moment(carried: Mapping[str, Any], name: str) -> int | None:
    value = carried.get(name)
    if value is None:
        return None
    wrong = moment_fault(value) if isinstance(value, str) else "must be a string"
    if wrong is not None:
        raise fault(f"$.metadata.{name}", wrong)
    return from_timestamp(value)


def _agent(message: TaskMessage) -> TaskMessage:
    """Read `agent.execute`: a turn of its session, or one run of the agent outside of any."""
    payload = message.payload
    config = _object(payload.get("agent_config"))
    agent_id = config.get("agent_id") or payload.get("agent_id")
    if not isinstance(agent_id, str):
        raise fault("$.payload.agent_config.agent_id", "required field is missing")
    content, messages = _question(payload)
    context = _context(payload.get("context"))
    if messages:
        context = {"messages": messages, **context}
    version = config.get("version")
    own: Fields = {
        "agent_id": agent_id,
        "content": content,
        "message_id": message.metadata.message_id or message.message_id,
        "version": version if isinstance(version, str) and version != "latest" else None,
        "agent_parameters": config.get("parameters") if isinstance(config.get("parameters"), dict) else None,
        "context": context or None,
        "tools": payload.get("tools") or None,
        "max_tokens": payload.get("max_tokens"),
    }
    return evolve(message, payload={name: value for name, value in own.items() if value is not None})


def _object(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def _question(payload: Mapping[str, Any]) -> tuple[str, list[Fields]]:
    """Return what the agent is asked, and what was said before."""
    query = payload.get("query")
    if isinstance(query, str):
        return query, []
    said = payload.get("messages")
    said = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    if not said or not isinstance(said[-1].get("content"), str):
        raise fault("$.payload.query", "required field is missing")
    return said[-1]["content"], said[:-1]


def _context(items: Any) -> Fields:
    """Return a documented context by the names that it has here; further items stay as they are."""
    if isinstance(items, dict):
        return items
    if not isinstance(items, list):
        return {}
    told: Fields = {}
    further = []
    for item in items:
        if isinstance(item, dict) and item.get("type") == "conversation_history":
            told["messages"] = item.get("content") or []
        elif isinstance(item, dict):
            further.append(item)
    return told | ({"items": further} if further else {})


def _workflow(message: TaskMessage) -> TaskMessage:
    """Read `workflow.execute` and `workflow.start`."""
    payload = read_aliases(message.payload, EXECUTE, "$.payload")
    known = {
        name: payload[name]
        for name in ("workflow_id", "plan", "input", "metadata", "context")
        if payload.get(name) is not None
    }
    further = {name: payload[name] for name in _HANDED_ON if payload.get(name) is not None}
    if further:
        known["further"] = further
    return evolve(message, type=MessageType("workflow", "execute"), payload={"input": {}} | known)


def _tool(message: TaskMessage) -> TaskMessage:
    """Read `tool.execute`; whether the tool answers at once, the registry says."""
    payload = read_aliases(message.payload, TOOL, "$.payload")
    if isinstance(payload.get("execution_context"), dict):
        carried = {**message.metadata.carried, "execution_context": payload["execution_context"]}
        message = evolve(message, metadata=evolve(message.metadata, carried=carried))
    own = {
        "tool_id": payload.get("tool_id"),
        "parameters": payload.get("parameters") or {},
        "timeout_ms": min(message.metadata.timeout_ms, 600_000),
        "session_id": message.session_id,
        "kind": "unknown",
    }
    return evolve(message, payload={name: value for name, value in own.items() if value is not None})


def _step(message: TaskMessage) -> TaskMessage:
    """Read `workflow.step`: an agent or a tool, with what it works on still as references."""
    payload, carried = read_aliases(message.payload, INPUT, "$.payload"), message.metadata.carried
    kind = payload.get("step_type")
    config = _object(payload.get("agent_config"))
    own: Fields = {
        "step_id": carried.get("workflow_step_id") or payload.get("step_id") or message.task_id,
        "workflow": carried.get("execution_id") or carried.get("workflow_id"),
        "input": _object(payload.get("input")),
        "on_failure": payload.get("on_failure") if isinstance(payload.get("on_failure"), str) else "fail",
        "message_id": message.message_id,
    }
    if kind in _TOOL_STEPS:
        tools = _object(payload.get("tool_config")) or payload
        own["tool_id"] = tools.get("tool_id") or tools.get("tool_name")
    elif kind in _AGENT_STEPS:
        own |= {"agent_id": config.get("agent_id"), "agent_parameters": config.get("parameters")}
        version = config.get("version")
        own["version"] = version if version != "latest" else None
    else:
        raise fault("$.payload.step_type", "must be 'agent_task' or 'tool_task'")
    return evolve(message, payload={name: value for name, value in own.items() if value is not None})


_PAYLOADS: Final[dict[str, Callable[[TaskMessage], TaskMessage]]] = {
    "agent.execute": _agent,
    "workflow.execute": _workflow,
    "workflow.start": _workflow,
    "workflow.step": _step,
    "tool.execute": _tool,
}
"""How a documented payload becomes that of a kind of tasks; of other types it is left as it is."""
