"""Documented names of what is asked of agents and tools."""

from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.dialects.agent_changes import read_agent_change
from orchestrator.models.common.ids import ID_PATTERN, Id
from orchestrator.routes.dialects.record import RouteDialect

_Message = Annotated[Id | None, Meta(description="Another name for `message_id`.")]
_Parameters = Annotated[dict[str, Any] | None, Meta(description="Another name for `parameters`.")]


@frozen
class FeedbackNames:
    """What `agent.feedback` takes under documented names."""

    chat_message_id: _Message = None
    target_message_id: _Message = None


@frozen
class ToolNames:
    """What `tool.execute` takes under documented names."""

    tool_name: Annotated[str | None, Meta(pattern=ID_PATTERN, description="Another name for `tool_id`.")] = None
    inputs: _Parameters = None
    input_data: _Parameters = None
    input_parameters: _Parameters = None


AGENTS: Final = {
    "agent.updated": RouteDialect(read_message=read_agent_change),
    "agent.feedback": RouteDialect(
        body={"chat_message_id": "message_id", "target_message_id": "message_id"}, asks=FeedbackNames
    ),
    "tool.execute": RouteDialect(
        body={
            "tool_name": "tool_id",
            "inputs": "parameters",
            "input_data": "parameters",
            "input_parameters": "parameters",
        },
        asks=ToolNames,
    ),
}
"""By route."""
