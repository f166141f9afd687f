"""Agents as clients see them, and what may be done with them."""

from typing import Annotated, Any, Final

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id

MOST_SESSIONS: Final = 1000
"""Sessions that one change of an agent may name."""
Version = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.+-]{1,64}$", description="A version of the agent.")]


@frozen
class AgentSummary:
    """An agent in a list."""

    agent_id: Id
    version: Annotated[str, Meta(description="Which version this is; in a list the latest.")]
    name: str
    description: str = ""
    tools: Annotated[list[Any], Meta(description="The tools that it may use.")] = field(factory=list)
    client_tools: Annotated[list[str], Meta(description="Those of them that run at the client.")] = field(factory=list)


@frozen
class AgentDetails(AgentSummary):
    """An agent as it is configured."""

    parameters: dict[str, Any] = field(factory=dict)
    memory: dict[str, Any] = field(factory=dict)
    permissions: Any = None
    system_prompt: Annotated[
        str | None, Meta(description="What it is told before anything else; only for those who see the whole tenant.")
    ] = None


@frozen
class AgentAssign:
    """What `agent.assign` takes."""

    agent_id: Annotated[Id, Meta(description="The agent that answers from now on.")]
    version: Annotated[
        Version | None, Meta(description="Always this version of it; null: the latest at each turn.")
    ] = None


@frozen
class AgentFeedback:
    """What `agent.feedback` takes: a user's rating of an answer, or of a session."""

    rating: Annotated[int, Meta(ge=1, le=5, description="1 (bad) to 5 (good).")]
    message_id: Annotated[Id | None, Meta(description="The question or the answer that it is about.")] = None
    session_id: Annotated[Id | None, Meta(description="The session that it is about, if it is not one message.")] = None
    comment: Annotated[str | None, Meta(max_length=4000)] = None
    metadata: Annotated[dict[str, Any], Meta(description="Free fields; handed on.")] = field(factory=dict)
    agent_id: Annotated[Id | None, Meta(description="The agent that answered, if you want to say it.")] = None


@frozen
class FeedbackTaken:
    """Feedback that Agent Management has taken."""

    agent_id: Id
    agent_version: str | None
    session_id: Id
    rating: int
    message_id: Id | None = None


@frozen
class AgentUpdated:
    """What `agent.updated` takes."""

    agent_id: Annotated[Id, Meta(description="The agent that was changed, or taken away.")]
    version: Annotated[Version | None, Meta(description="Its latest version now, if that is known.")] = None
    rebind: Annotated[
        list[Id],
        Meta(
            max_length=MOST_SESSIONS,
            description="Sessions that are bound to a version of it, and to `version` from now on.",
        ),
    ] = field(factory=list)
    notify: Annotated[
        list[Id], Meta(max_length=MOST_SESSIONS, description="Sessions with it whose users are notified.")
    ] = field(factory=list)


@frozen
class ToolUpdated:
    """What `tool.updated` takes; where both are left out, any tool may have changed."""

    tool_id: Annotated[Id | None, Meta(description="The tool that was changed.")] = None
    agent_id: Annotated[Id | None, Meta(description="The agent whose list of tools was changed.")] = None


@frozen
class Forgotten:
    """What every process looks up anew from now on."""

    agent_id: Id | None = None
    tool_id: Id | None = None
