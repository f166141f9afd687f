"""Agents: how they are configured, and what they say while they work."""

from typing import Any

from attrs import field, frozen

from orchestrator.models.events.events import StreamContent
from orchestrator.models.sessions.chat import Usage


@frozen
class AgentConfig:
    """An agent as Agent Management keeps it."""

    agent_id: str
    version: str
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(factory=dict)
    system_prompt: str = ""
    tools: list[Any] = field(factory=list)
    memory: dict[str, Any] = field(factory=dict)
    permissions: Any = None
    client_tools: list[str] = field(factory=list)
    """The tools that run on the client, not in the Tool Registry."""


@frozen
class AgentToken:
    """A piece of an answer as it is made."""

    text: str
    content_type: StreamContent
    is_last: bool = False


@frozen
class AgentStatus:
    """A sign of life of a working agent, and what it says of its work."""

    status: str
    progress: float | None = None
    """From 0 to 1."""
    detail: str | None = None
    """What it is doing, in its own words."""
    seconds_left: float | None = None
    """How long it takes yet, by its own estimate."""
    thought: str = ""
    """What it thinks at the moment: streamed as such."""


@frozen
class ToolRequest:
    """The agent waits for the result of a tool."""

    tool_call_id: str
    tool_id: str
    parameters: dict[str, Any]


@frozen
class AgentResponse:
    """The whole answer, at the end of an execution."""

    response: str
    sources: list[dict[str, Any]] = field(factory=list)
    tool_calls: list[dict[str, Any]] = field(factory=list)
    usage: Usage = field(factory=Usage)
    thinking: str = ""
    """How it came to the answer, where it says so: kept with the task."""


@frozen
class AgentAccepted:
    """The service has taken the execution on, and answers later, by callback."""

    execution_id: str
    """Empty where the service does not name it."""


AgentOutcome = ToolRequest | AgentResponse | AgentAccepted
"""What a stream of an execution ends with."""
AgentPiece = AgentToken | AgentStatus | AgentOutcome
"""What the stream of an execution is made of."""
