"""What happened to a request, step by step; and what keeps a task waiting."""

from enum import StrEnum
from typing import Annotated

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.tasks.task import TaskStatus


@frozen
class TraceStep:
    """A step of a task."""

    at: Timestamp
    after_ms: Annotated[int, Meta(description="Since the first step of the request.")]
    step: Annotated[
        str,
        Meta(
            description=(
                "`accepted`, `its_turn` (the turn before it in its session has ended), `claimed`, `taken_over`, "
                "`checkpoint`, `delegated`, `parked` (until an answer comes), "
                "`answered`, `waits_again` (nothing was heard of a workflow), `resumed`, `retried`, `handed_back`, "
                "`cancel_asked`, `gateway` (a call of Query or Embedding was counted), `finished`, `mended`."
            )
        ),
    ]
    task_id: Id
    attempt: int
    node: str = ""
    detail: Annotated[str, Meta(description="The call, the tool, or how it finished.")] = ""


@frozen
class OpenTask:
    """A task of a request that has not ended: what it does, or waits for, at this moment."""

    task_id: Id
    status: TaskStatus
    for_ms: Annotated[int, Meta(description="Since its last step.")]
    detail: Annotated[str, Meta(description="The calls that are open, each with its time; or what it waits for.")] = ""


@frozen
class Timeline:
    """The steps of a request, in order; the newest 1000, for a day."""

    correlation_id: Id
    started_at: Timestamp
    duration_ms: Annotated[int, Meta(description="To the last step; to this moment, where a task has not ended.")]
    steps: list[TraceStep]
    open: Annotated[list[OpenTask], Meta(description="Its tasks that have not ended.")] = field(factory=list)


class WaitReason(StrEnum):
    """What keeps a task from running, or that nothing does."""

    ENDED = "ended"
    IN_HAND = "in_hand"
    SESSION = "session"
    USER = "user"
    CLIENT_TOOL = "client_tool"
    INPUT = "input"
    """Of a person, for a workflow."""
    SERVICE = "service"
    DELAYED = "delayed"
    PARKED = "parked"
    PAUSED = "paused"
    DRAINING = "draining"
    CONCURRENCY = "concurrency"
    START_RATE = "start_rate"
    NO_PROCESS = "no_process"
    NO_SLOT = "no_slot"
    SHARE = "share"
    QUEUE = "queue"
    NEXT = "next"
    NOWHERE = "nowhere"


@frozen
class WaitFacts:
    """What is known of a task, its session, its tenant and the processes, at one moment."""

    task_id: str
    status: TaskStatus
    now_ms: int
    tenant_state: str = "active"
    node: str = ""
    claimed_at_ms: int | None = None
    waiting_for: str = ""
    """The calls whose answers it waits for."""
    waiting_kind: str = ""
    """Who is to give the first of them, a `WaitKind`."""
    asks: str | None = None
    """What a workflow asks a person; None: it asks nothing."""
    failed_with: str = ""
    """Code and message of its last failure, where it starts over."""
    due_ms: int | None = None
    left_alone: tuple[str, ...] = ()
    """Services that some process leaves alone, because they fail too often."""
    queued: bool = False
    """Whether it has an entry in its lane."""
    ahead: int = 0
    """Tasks that would be claimed before it: in its lane, and in the lanes above."""
    ahead_is_more: bool = False
    """Whether there are more than were counted."""
    turns_before: int | None = None
    """Turns that wait in its session before it; None: it does not wait for its session."""
    active_task_id: str = ""
    users_before: int | None = None
    """Tasks of its user that wait before it; None: it does not wait for its user."""
    parked: bool = False
    in_hand: int = 0
    concurrency: int | None = None
    start_rate: float | None = None
    start_wait_ms: int = 0
    starts: int = 0
    """How many of the tasks accepted last before those that wait were started within the last minute."""
    starts_span_ms: int = 0
    """Between the first and the last of these starts."""
    processes: int = 0
    slots: int = 0
    slots_used: int = 0
    tenant_share: float = 1.0
    """What part of the slots one tenant may have at most."""
    share_used_up: bool = False
    """Whether every process with a free slot keeps it for other tenants, because this one has its share there."""


@frozen
class TaskWait:
    """What keeps a task waiting."""

    task_id: Id
    status: TaskStatus
    reason: WaitReason
    says: Annotated[str, Meta(description="The same in one sentence.")]
    ahead: Annotated[int | None, Meta(description="Tasks or turns that come before it.")] = None
    behind_task_id: Annotated[Id | None, Meta(description="The session's active task.")] = None
    node: Annotated[str | None, Meta(description="The process that has it in hand.")] = None
    since: Timestamp | None = None
    until: Annotated[Timestamp | None, Meta(description="The moment that it waits for.")] = None
    in_hand: Annotated[int | None, Meta(description="Tasks of the tenant that run.")] = None
    bound: Annotated[float | None, Meta(description="The tenant's own bound that it waits for.")] = None
    free_slots: Annotated[int | None, Meta(description="Of all live processes.")] = None
    estimated_start: Annotated[
        Timestamp | None, Meta(description="By the rate of the last minute; null where that says nothing.")
    ] = None
