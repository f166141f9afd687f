"""Books that balance: what must hold between a tenant's task records, lanes, delays, sessions and reservations.

Each judgement is made of what one script read at one moment, so work that goes on meanwhile can't look like a fault.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.operations.consistency import (
    EntryStanding,
    Place,
    ReservationStanding,
    SessionStanding,
    TaskStanding,
    Violation,
    ViolationKind,
)
from orchestrator.models.tasks.task import TaskStatus

_K = ViolationKind
_CLOSED: Final = frozenset({"TERMINATED", "ARCHIVED", "FAILED"})

REMEDIES: Final[Mapping[ViolationKind, str]] = {
    _K.LOST: "put it back into its lane",
    _K.TWICE: "take it out of the delayed tasks",
    _K.LEFT_IN_LANE: "take its entry out of the lane",
    _K.LEFT_DELAYED: "take it out of the delayed tasks",
    _K.LEFT_IN_TURNS: "take it out of the session's waiting turns",
    _K.LEFT_IN_INDEX: "take it out of the index",
    _K.NOT_ACTIVE: "make it the active task of its session, if that has none",
    _K.ACTIVE_ENDED: "let the session go on",
    _K.STUCK_PROCESSING: "let the session go on",
    _K.TURNS_STUCK: "let the session's next turn begin",
    _K.WRONG_OFFSET: "let its log go on behind its last event, in another epoch where events may be lost",
    _K.ENTRY_UNRECORDED: "move it to the dead letters",
    _K.ENTRY_STRAY: "take it out of the lane",
    _K.NOT_WOKEN: "wake the schedulers",
    _K.NOT_TIMED: "set the timer",
    _K.CALL_UNRECORDED: "take it out of the open calls",
    _K.CALL_UNWATCHED: "put it back among the open calls, to be asked for again",
    _K.WRONG_SUM: "write down what the open calls add up to",
    _K.NOT_DOUBTED: "have them looked after",
    _K.TASK_DAMAGED: "move it to the dead letters",
    _K.SESSION_DAMAGED: "give the session and its waiting turns up, and keep what is left for a day",
    _K.BATCH_DAMAGED: "give the batch up, and keep what is left for a day",
    _K.SCHEDULE_DAMAGED: "give the schedule up, and keep what is left for a day",
    _K.CONFIG_DAMAGED: "remove the field, so that its default applies",
    _K.CLAIMED_UNRECORDED: "write down what its place says",
    _K.WRONG_NODE: "write down the process that has it",
    _K.NOT_INDEXED: "put it into the index",
    _K.SESSION_UNLISTED: "put it into its lists, and set its timer",
    _K.WRONG_COUNT: "count anew",
    _K.BATCH_MISCOUNTED: "count its items anew",
    _K.SCHEDULE_UNLISTED: "put it into the list, and set its timer",
    _K.TENANT_UNLISTED: "put it into the list of tenants",
    _K.WRONG_WEIGHT: "take the weight that is configured",
    _K.LEFT_IN_LIST: "take it out of the list",
    _K.WRONG_LOG: "let its log go on behind its last event, in another epoch where events may be lost",
    _K.WRONG_FEED: "let it begin anew",
    _K.COUNTER_DAMAGED: "count it anew by what was spent",
    _K.NOTIFICATIONS_MISCOUNTED: "put those with a body into their lists, and take the others out",
    _K.KEY_DAMAGED: "put what is in its place aside, and keep it for a day",
}
"""What can be mended without losing anything, and how. The other faults are for a person to look at."""


def place_of(task: TaskStanding, *, dead: bool = False) -> Place | None:
    """Return where a task is; None: in no place, or in more than one.

    Args:
        task: what is known of it.
        dead: whether it is among the dead letters.
    """
    if task.status is None:
        return None
    if task.status in FINISHED:
        return Place.DEAD if dead else Place.FINISHED
    places = _places(task)
    return places[0] if len(places) == 1 and task.turns <= 1 else None


def judge_task(task: TaskStanding) -> Iterator[Violation]:
    """Say what is wrong with one task."""
    if task.status is None:
        if task.indexed:
            yield Violation(_K.LEFT_IN_INDEX, task.task_id, "is in the index, but has no record")
        if task.delayed:
            yield Violation(_K.LEFT_DELAYED, task.task_id, "is delayed, but has no record")
        if task.turns:
            yield Violation(_K.LEFT_IN_TURNS, task.task_id, "waits for its turn, but has no record")
    elif task.status in FINISHED:
        yield from _judge_ended(task, task.status)
    else:
        yield from _judge_live(task, task.status)


def _judge_ended(task: TaskStanding, status: TaskStatus) -> Iterator[Violation]:
    if task.entry_there:
        yield Violation(_K.LEFT_IN_LANE, task.task_id, f"is {status}, but its entry is still in its lane")
    if task.delayed:
        yield Violation(_K.LEFT_DELAYED, task.task_id, f"is {status}, but still delayed")
    if task.turns:
        yield Violation(_K.LEFT_IN_TURNS, task.task_id, f"is {status}, but still waits for its turn")


def _judge_live(task: TaskStanding, status: TaskStatus) -> Iterator[Violation]:
    places = _places(task)
    if not places:
        yield Violation(_K.LOST, task.task_id, f"is {status}, but nowhere to be found")
    elif len(places) > 1 or task.turns > 1:
        yield Violation(_K.TWICE, task.task_id, f"is in more than one place: {', '.join(places)}")
    elif (status is TaskStatus.PROCESSING) != (places[0] is Place.IN_HAND):
        yield Violation(_K.CLAIMED_UNRECORDED, task.task_id, f"is {status} by its record, but {places[0]} by its place")
    elif task.consumer and task.consumer != task.node:
        says = f"is in hand on {task.consumer}, but its record says {task.node or 'nothing'}"
        yield Violation(_K.WRONG_NODE, task.task_id, says)
    if not task.indexed:
        yield Violation(_K.NOT_INDEXED, task.task_id, f"is {status}, but not in the index")
    # A session that is closed lets go of a running turn at once, and the turn ends a moment later.
    on_its_way = bool(places) and places not in ([Place.TURN], [Place.PARKED])
    # A turn that is to start later takes its place in the session only then.
    on_its_way &= not (status is TaskStatus.PENDING and task.delayed)
    if on_its_way and task.session_state and task.session_state not in _CLOSED and task.session_active != task.task_id:
        active = task.session_active or "no task"
        yield Violation(_K.NOT_ACTIVE, task.task_id, f"is {status}, but its session has {active} as the active one")


def _places(task: TaskStanding) -> list[Place]:
    """Return every place in which a task that has not ended is."""
    found = []
    if task.entry_there:
        found.append(Place.IN_HAND if task.consumer else Place.QUEUED)
    if task.delayed:
        found.append(Place.WAITING if task.status is TaskStatus.WAITING else Place.DELAYED)
    if task.turns:
        found.append(Place.TURN)
    if task.behind_user:
        found.append(Place.BEHIND_USER)
    if task.parked:
        found.append(Place.PARKED)
    return found


def judge_session(session: SessionStanding) -> Iterator[Violation]:
    """Say what is wrong with one session."""
    if not session.state:
        return
    ended = session.active_status is None or session.active_status in FINISHED
    if session.active_task_id and ended:
        status = session.active_status or "gone"
        yield Violation(
            _K.ACTIVE_ENDED, session.session_id, f"waits for task {session.active_task_id}, which is {status}"
        )
    elif not session.active_task_id and session.turns:
        yield Violation(
            _K.TURNS_STUCK, session.session_id, f"has {session.turns} waiting turns, but none that is active"
        )
    elif not session.active_task_id and session.state == "PROCESSING":
        yield Violation(_K.STUCK_PROCESSING, session.session_id, "is processing, but has no active task")
    if session.last_event is not None and session.last_event != session.offset:
        says = f"counts {session.offset} events, but the last one in its log is {session.last_event}"
        yield Violation(_K.WRONG_OFFSET, session.session_id, says)


def judge_entry(entry: EntryStanding) -> Iterator[Violation]:
    """Say what is wrong with one entry of a lane."""
    if entry.damaged:
        return
    if entry.status is None:
        says = f"is in the lane {entry.lane}, but its task has no record"
        yield Violation(_K.ENTRY_UNRECORDED, entry.entry, says, entry.lane)
    elif not entry.named:
        says = f"is in the lane {entry.lane}, but the record of its task {entry.task_id} names another entry"
        yield Violation(_K.ENTRY_STRAY, entry.entry, says, entry.lane)


def judge_reservations(tenant_id: str, found: ReservationStanding) -> Iterator[Violation]:
    """Say what is wrong with what a tenant's open calls of the gateway have reserved."""
    for call_id in found.unrecorded:
        yield Violation(_K.CALL_UNRECORDED, call_id, "is an open call of the gateway, but has no record")
    for call_id in found.unwatched:
        yield Violation(_K.CALL_UNWATCHED, call_id, "is a call of the gateway that no process would ask for again")
    for sum_ in found.wrong:
        says = f"holds {sum_.held} reserved tokens, but the open calls add up to {sum_.added_up}"
        yield Violation(_K.WRONG_SUM, f"{sum_.period} {sum_.field}", says, excess=sum_.held - sum_.added_up)
    if found.left_alone:
        yield Violation(
            _K.DOUBT_LEFT, tenant_id, "has calls of the gateway in doubt that no process has taken for minutes"
        )
