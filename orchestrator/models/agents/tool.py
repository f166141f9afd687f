"""Tools as clients see them, and what it takes to run one."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.events.events import ToolStatus

TIMEOUT_MS = 30_000
AT_ONCE_MS = 120_000
LONGEST_MS = 600_000


class ToolKind(StrEnum):
    """Where a tool runs, and when its result comes."""

    SYNC = "sync"
    ASYNC = "async"
    CLIENT = "client"


@frozen
class Tool:
    """A tool."""

    tool_id: Id
    name: str
    kind: Annotated[
        ToolKind,
        Meta(description="`sync`: answers at once; `async`: answers later, as a task; `client`: runs at the client."),
    ]
    description: str = ""
    parameters: Annotated[dict[str, Any], Meta(description="JSON Schema of its parameters.")] = field(factory=dict)
    agents: Annotated[list[str], Meta(description="The agents that may use it; `*`: all.")] = field(factory=list)


@frozen
class ToolRun:
    """What `tool.execute` takes."""

    tool_id: Annotated[Id, Meta(description="The tool.")]
    parameters: Annotated[dict[str, Any], Meta(description="Its parameters, as its schema has them.")] = field(
        factory=dict
    )
    session_id: Annotated[Id | None, Meta(description="The session for which it runs; its agent must have it.")] = None
    timeout_ms: Annotated[
        int | None,
        Meta(
            ge=1,
            le=LONGEST_MS,
            description="How long its result is waited for; default: 30,000, where it comes later 600,000. "
            f"A tool that answers at once has {AT_ONCE_MS} at most.",
        ),
    ] = None


@frozen
class ToolRan:
    """What a tool gave."""

    tool_id: Id
    status: Annotated[ToolStatus, Meta(description="A tool that ran and failed is an answer too.")]
    result: Any = None
    error_message: str | None = None
    execution_time_ms: float | None = None
    session_id: Id | None = None
