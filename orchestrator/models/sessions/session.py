"""Sessions: the live side of a conversation."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp


class SessionState(StrEnum):
    """Where a session stands in its life; `domain.session_states` has the table of its moves."""

    CREATED = "CREATED"
    ACTIVE = "ACTIVE"
    PROCESSING = "PROCESSING"
    ERROR = "ERROR"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    TERMINATED = "TERMINATED"
    ARCHIVED = "ARCHIVED"
    FAILED = "FAILED"

    @property
    def code(self) -> int:
        """The state's number, as the platform's other services know it."""
        return _CODES[self]


_CODES = {state: number for number, state in zip(range(10, 100, 10), SessionState, strict=True)}


class SessionMove(StrEnum):
    """What an update does to a session's state, as the routes of these names do."""

    PAUSE = "pause"
    RESUME = "resume"
    CLOSE = "close"


Metadata = Annotated[dict[str, Any], Meta(description="Free fields of the client; kept, not read.")]
Context = Annotated[dict[str, Any], Meta(description="What every turn of the session gives the agent.")]


@frozen
class SessionCreate:
    """What `session.create` takes."""

    agent_id: Annotated[Id, Meta(description="The agent to talk with.")]
    user_id: Annotated[Id | None, Meta(description="On whose behalf; default: the token's user.")] = None
    metadata: Metadata = field(factory=dict)
    context: Context = field(factory=dict)
    ttl_seconds: Annotated[
        int | None, Meta(ge=60, le=31_536_000, description="How long the session lives, in seconds.")
    ] = None


@frozen
class SessionUpdate:
    """What `session.update` takes; what is left out stays as it is."""

    metadata: Metadata | None = None
    context: Context | None = None
    move: Annotated[SessionMove | None, Meta(description="What else happens to it, in the same request.")] = None
    ttl_seconds: Annotated[
        int | None, Meta(ge=60, le=31_536_000, description="How long it lives from now on, in seconds.")
    ] = None


@frozen
class Session:
    """A session as its owner sees it."""

    session_id: Id
    tenant_id: Id
    user_id: Id
    agent_id: Id
    state: SessionState
    state_code: Annotated[int, Meta(description="The state as a number, 10 to 90.")]
    metadata: Metadata
    context: Context
    message_count: Annotated[int, Meta(ge=0, description="How many messages were accepted.")]
    created_at: Timestamp
    updated_at: Timestamp
    last_activity_at: Timestamp
    expires_at: Timestamp | None = None
    agent_version: Annotated[str | None, Meta(description="The agent's version in the last turn.")] = None
    conversation_id: Annotated[str | None, Meta(description="Where the history is kept, from the first turn on.")] = (
        None
    )
    active_task_id: Annotated[Id | None, Meta(description="The turn that is queued or running.")] = None
    pinned_version: Annotated[
        str | None, Meta(description="The agent's version that answers here; null: the latest.")
    ] = None


@frozen
class SessionCreated(Session):
    """A new session, and where to follow it."""

    websocket_url: Annotated[str, Meta(description="The WebSocket of the session.")] = field(kw_only=True)


@frozen
class SessionTicket:
    """A one-use credential for opening a session's WebSocket."""

    ticket: Annotated[str, Meta(description="Goes into `?ticket=`.")]
    expires_in_seconds: int
