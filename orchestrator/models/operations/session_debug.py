"""Everything known of a session, for operators who look for what went wrong."""

from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Task


@frozen
class EventLogState:
    """Where the session's event log stands."""

    epoch: str
    offset: Annotated[int, Meta(description="Of the last event; 0: there was none.")]
    kept: Annotated[int, Meta(description="How many events can be sent again.")]
    last: Annotated[list[dict[str, Any]], Meta(description="The last frames, oldest first, content and all.")]


@frozen
class SessionDebug:
    """What Redis and this process know of a session."""

    session: Session
    states: Annotated[list[dict[str, Any]], Meta(description="Its last moves, the newest first.")]
    log: EventLogState
    messages_kept: Annotated[int, Meta(description="Messages of the conversation that are kept here.")]
    followers: Annotated[int, Meta(description="Sockets and streams of this process that follow it.")]
    tasks: Annotated[list[Task], Meta(description="Its last tasks, the newest first.")] = field(factory=list)
    active_task: Annotated[Task | None, Meta(description="The turn that is queued or running.")] = None
    waiting_tasks: Annotated[list[Id], Meta(description="The turns behind it, in their order.")] = field(factory=list)
    idle_move_at: Annotated[Timestamp | None, Meta(description="When idleness moves it next.")] = None
    forgotten_in_seconds: Annotated[
        int | None, Meta(description="When its record goes; null: not before it is closed.")
    ] = None
