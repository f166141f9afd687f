"""The tools of a turn: which of them answer later, and what their answers mean."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from orchestrator.codec import structure_kept
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Wait, WaitKind

CLIENT_TOOL_MS: Final = 60_000
"""How long a client has for a tool."""
DELEGATED_MS: Final = 600_000
"""How long a service has for what it answers later."""
LONGEST_DESCRIPTION: Final = 2000
"""Characters of what a client is told of a tool."""
_ASYNC: Final = "async"
_DONE: Final = frozenset({"success", "completed"})


def async_tools(tools: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the tools that are started now and answer later, of those that the Tool Registry describes."""
    return frozenset(str(tool.get("tool_id")) for tool in tools if tool.get("kind") == _ASYNC)


def names_of(tools: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the ids of tools by their names, where a name is none of the ids."""
    ids = {str(tool.get("tool_id")) for tool in tools}
    return {
        name: str(tool.get("tool_id"))
        for tool in tools
        if isinstance(name := tool.get("name"), str) and name and name not in ids
    }


def descriptions_of(tools: Iterable[Mapping[str, Any]], wanted: Collection[str]) -> dict[str, str]:
    """Return what some tools do, by their ids, as far as the Tool Registry says it."""
    return {
        str(tool.get("tool_id")): said[:LONGEST_DESCRIPTION]
        for tool in tools
        if tool.get("tool_id") in wanted and isinstance(said := tool.get("description"), str) and said
    }


def client_wait(tool_call_id: str, tool_id: str, parameters: dict[str, Any], description: str = "") -> Wait:
    """Return the wait for a client that runs a tool."""
    asked: dict[str, Any] = {"tool_id": tool_id, "params": parameters}
    if description:
        asked["description"] = description
    return Wait(tool_call_id, WaitKind.CLIENT_TOOL, CLIENT_TOOL_MS, asked)


def service_wait(call_id: str) -> Wait:
    """Return the wait for a service that has taken a call on."""
    return Wait(call_id, WaitKind.DELEGATED, DELEGATED_MS)


def outcome_of(kind: WaitKind, answer: CallAnswer) -> ToolOutcome:
    """Return what a tool gave that was waited for."""
    if answer.status is AnswerStatus.FAILED:
        said = answer.error.message if answer.error else "The tool failed."
        details = [fault.message for fault in answer.error.details] if answer.error else []
        return ToolOutcome(ToolStatus.ERROR, error_message=" ".join([said, *details]))
    if kind is WaitKind.CLIENT_TOOL:
        return structure_kept(answer.result, ToolOutcome)
    return registry_outcome(answer.result)


def registry_outcome(result: Any) -> ToolOutcome:
    """Return what a tool of the Tool Registry gave: from `{status, result}`, or from a bare result."""
    if not isinstance(result, dict) or not isinstance(result.get("status"), str):
        return ToolOutcome(ToolStatus.SUCCESS, data=result)
    if result["status"] in _DONE:
        return ToolOutcome(ToolStatus.SUCCESS, data=result.get("result"))
    return ToolOutcome(ToolStatus.ERROR, error_message=str(result.get("error_message") or "The tool failed."))
