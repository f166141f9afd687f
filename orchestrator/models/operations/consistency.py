"""What an audit of a tenant's books finds in Redis, and what it makes of it."""

from enum import StrEnum

from attrs import field, frozen

from orchestrator.models.tasks.task import TaskStatus


class Place(StrEnum):
    """Where a task is. Every accepted task is in exactly one place."""

    QUEUED = "queued"
    """In a lane, for any process to claim."""
    TURN = "turn"
    """Behind another turn of its session."""
    BEHIND_USER = "behind_user"
    """Behind other tasks of its user, where users share fairly."""
    DELAYED = "delayed"
    IN_HAND = "in_hand"
    WAITING = "waiting"
    """For an answer: of a client's tool, or of a service that the work was handed on to."""
    PARKED = "parked"
    """Put aside while its tenant is drained."""
    FINISHED = "finished"
    DEAD = "dead"


@frozen
class TaskStanding:
    """Everything that Redis has of one task, read at one moment."""

    task_id: str
    status: TaskStatus | None
    """None: there is no record."""
    lane: str = ""
    entry: str = ""
    """The entry of its lane that its record names."""
    node: str = ""
    session_id: str = ""
    entry_there: bool = False
    consumer: str = ""
    """Who has claimed the entry."""
    delayed: bool = False
    turns: int = 0
    """How often it stands in its session's waiting turns."""
    parked: bool = False
    session_state: str = ""
    """Empty: it has no session, or the session's record is gone."""
    session_active: str = ""
    """The task that its session calls active."""
    indexed: bool = False
    behind_user: bool = False


@frozen
class SessionStanding:
    """What Redis has of one session, read at one moment."""

    session_id: str
    state: str
    """Empty: the record is gone."""
    active_task_id: str = ""
    active_status: TaskStatus | None = None
    """None: there is no active task, or it has no record."""
    turns: int = 0
    offset: int = 0
    last_event: int | None = None
    """The offset of the newest event in the log; None: the log is empty."""


@frozen
class EntryStanding:
    """What Redis has of one entry of a lane, read at one moment."""

    lane: str
    entry: str
    task_id: str
    """Empty: the entry names none."""
    status: TaskStatus | None
    """The task's; None: it has no record."""
    named: bool
    """Whether the task's record names this entry."""
    damaged: bool = False
    """Whether the task's record can't be read."""


@frozen
class WrongSum:
    """A sum of a budget that is not the sum of its reservations."""

    period: str
    """`yyyymmdd` or `yyyymm`."""
    field: str
    """`reserved`, or that of a model: `reserved|model`."""
    held: int
    added_up: int
    """What the open calls add up to."""


@frozen
class ReservationStanding:
    """What Redis has of the open calls of a tenant's gateway and of what they have reserved, read at one moment."""

    reservations: int
    left_alone: bool = False
    """Whether the first of them is in doubt, and no process has taken it for minutes."""
    unrecorded: list[str] = field(factory=list)
    """Calls that are open, but have no record."""
    unwatched: list[str] = field(factory=list)
    """Calls that have a record, but are not among the open ones."""
    wrong: list[WrongSum] = field(factory=list)


class ViolationKind(StrEnum):
    """What can be wrong with the books."""

    LOST = "lost"
    TWICE = "twice"
    CLAIMED_UNRECORDED = "claimed_unrecorded"
    WRONG_NODE = "wrong_node"
    LEFT_IN_LANE = "left_in_lane"
    LEFT_DELAYED = "left_delayed"
    LEFT_IN_TURNS = "left_in_turns"
    LEFT_IN_INDEX = "left_in_index"
    NOT_INDEXED = "not_indexed"
    NOT_ACTIVE = "not_active"
    ACTIVE_ENDED = "active_ended"
    STUCK_PROCESSING = "stuck_processing"
    TURNS_STUCK = "turns_stuck"
    WRONG_OFFSET = "wrong_offset"
    ENTRY_UNRECORDED = "entry_unrecorded"
    ENTRY_STRAY = "entry_stray"
    NOT_WOKEN = "not_woken"
    NOT_TIMED = "not_timed"
    CALL_UNRECORDED = "call_unrecorded"
    CALL_UNWATCHED = "call_unwatched"
    WRONG_SUM = "wrong_sum"
    NOT_DOUBTED = "not_doubted"
    DOUBT_LEFT = "doubt_left"
    TASK_DAMAGED = "task_damaged"
    SESSION_DAMAGED = "session_damaged"
    BATCH_DAMAGED = "batch_damaged"
    SCHEDULE_DAMAGED = "schedule_damaged"
    SESSION_UNLISTED = "session_unlisted"
    WRONG_COUNT = "wrong_count"
    BATCH_MISCOUNTED = "batch_miscounted"
    SCHEDULE_UNLISTED = "schedule_unlisted"
    TENANT_UNLISTED = "tenant_unlisted"
    WRONG_WEIGHT = "wrong_weight"
    LEFT_IN_LIST = "left_in_list"
    WRONG_LOG = "wrong_log"
    WRONG_FEED = "wrong_feed"
    COUNTER_DAMAGED = "counter_damaged"
    NOTIFICATIONS_MISCOUNTED = "notifications_miscounted"
    KEY_DAMAGED = "key_damaged"
    CONFIG_DAMAGED = "config_damaged"
    UNREADABLE = "unreadable"


@frozen
class Violation:
    """Something that does not balance."""

    kind: ViolationKind
    subject: str
    """The id of the task, session, lane entry, call or tenant. Two words with a space between are of a sum its period
    and field, of a log its owner's kind and id, and of what is left in a list the list and the member."""
    says: str
    lane: str = ""
    """Of an entry."""
    excess: int = 0
    """Of a sum: how many tokens more it holds than it should."""
    mended: bool = False


@frozen
class TenantCheck:
    """What a check of a tenant's consistency has found, and what was mended."""

    tenant_id: str
    tasks: int
    sessions: int
    reservations: int
    """Open calls of the gateway."""
    places: dict[str, int]
    """How many tasks are in each place."""
    faults: list[Violation]

    @property
    def balances(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


@frozen
class StoreFacts:
    """What Redis says of itself."""

    redis_version: str
    aof_enabled: bool
    aof_last_write_status: str
    maxmemory_policy: str
    clock_ahead_ms: int
    """How far Redis' clock is ahead of that of the process that answers."""


@frozen
class ServiceCheck:
    """What only the service knows of the store behind it."""

    store: StoreFacts
    tenants: list[str]
    """All that have records or work."""
