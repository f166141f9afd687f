"""Why a task waits: one reason, the first that holds on its way to a worker, told in a sentence."""

from typing import Final

from attrs import evolve

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.timeline import TaskWait, WaitFacts, WaitReason
from orchestrator.models.tasks.waits import WaitKind

_ENOUGH_STARTS: Final = 5
"""Fewer starts within the last minute say nothing about the next ones."""

_R = WaitReason


def explain(facts: WaitFacts) -> TaskWait:
    """Say what keeps a task from running."""
    if facts.status in FINISHED:
        return _wait(facts, _R.ENDED, f"It has ended: {facts.status}.")
    if facts.status is TaskStatus.PROCESSING:
        since = to_timestamp(facts.claimed_at_ms) if facts.claimed_at_ms is not None else None
        says = f"It is in hand on process {facts.node or 'unknown'}.{_left_alone(facts)}"
        return evolve(_wait(facts, _R.IN_HAND, says), node=facts.node or None, since=since)
    if facts.parked:
        return _wait(facts, _R.PARKED, "It was put aside while its tenant is drained; a resume puts it back.")
    if facts.turns_before is not None:
        return _behind_session(facts)
    if facts.users_before is not None:
        says = f"It waits behind {_count(facts.users_before + 1, 'task')} of the same user."
        return evolve(_wait(facts, _R.USER, says), ahead=facts.users_before + 1)
    if facts.due_ms is not None:
        return _delayed(facts, facts.due_ms)
    if not facts.queued:
        return _wait(facts, _R.NOWHERE, "It is in no queue; 'nooble-orch doctor --repair' puts it back.")
    return _in_lane(facts)


def estimate(facts: WaitFacts) -> int | None:
    """Return when the task is likely to start (ms), by the recent starts of its tenant; None: unknown."""
    if facts.starts < _ENOUGH_STARTS or facts.starts_span_ms <= 0 or facts.ahead_is_more:
        return None
    return facts.now_ms + round((facts.ahead + 1) * facts.starts_span_ms / (facts.starts - 1))


def _behind_session(facts: WaitFacts) -> TaskWait:
    before = (facts.turns_before or 0) + 1
    says = f"It waits for {_count(before, 'turn')} of its session before it"
    says += f"; the active one is {facts.active_task_id}." if facts.active_task_id else "."
    return evolve(_wait(facts, _R.SESSION, says), ahead=before, behind_task_id=facts.active_task_id or None)


def _delayed(facts: WaitFacts, due_ms: int) -> TaskWait:
    until = to_timestamp(due_ms)
    if facts.status is TaskStatus.WAITING and facts.asks is not None:
        asks = f": {facts.asks}" if facts.asks else ""
        return evolve(
            _wait(facts, _R.INPUT, f"It waits for a person's input, until {until} at the latest{asks}"), until=until
        )
    if facts.status is TaskStatus.WAITING:
        calls = f" ({facts.waiting_for})" if facts.waiting_for else ""
        service = facts.waiting_kind == WaitKind.DELEGATED
        what = "the answer of a service" if service else "its client's tool"
        says = f"It waits for {what}{calls}, until {until} at the latest."
        return evolve(_wait(facts, _R.SERVICE if service else _R.CLIENT_TOOL, says), until=until)
    failure = f" ({facts.failed_with})" if facts.failed_with else ""
    retries = facts.status is TaskStatus.RETRYING
    what = f"It failed{failure} and starts over" if retries else "It is delayed, and starts"
    says = f"{what} at {until} at the earliest.{_left_alone(facts)}"
    return evolve(_wait(facts, _R.DELAYED, says), until=until, estimated_start=until)


def _left_alone(facts: WaitFacts) -> str:
    """Describe services that fail: tasks that need them go on when they are well again."""
    if not facts.left_alone:
        return ""
    names = ", ".join(name.replace("_", " ") for name in facts.left_alone)
    return f" Left alone for a while, because calls of it fail too often: {names}."


def _in_lane(facts: WaitFacts) -> TaskWait:
    free = max(0, facts.slots - facts.slots_used)
    known = evolve(
        _wait(facts, _R.NEXT, "Nothing keeps it; it is the next to be claimed."),
        ahead=facts.ahead,
        in_hand=facts.in_hand,
        free_slots=free,
    )
    if facts.tenant_state == "paused":
        return evolve(known, reason=_R.PAUSED, says="Its tenant is paused: nothing starts until it is resumed.")
    if facts.tenant_state == "drained":
        return evolve(known, reason=_R.DRAINING, says="Its tenant is drained: nothing starts until it is resumed.")
    if facts.processes == 0:
        return evolve(known, reason=_R.NO_PROCESS, says="No process of the service is alive.")
    start = estimate(facts)
    known = evolve(known, estimated_start=None if start is None else to_timestamp(start))
    ahead = f"{'over ' if facts.ahead_is_more else ''}{_count(facts.ahead, 'task')} before it"
    if facts.concurrency is not None and facts.in_hand >= facts.concurrency:
        says = f"Its tenant runs {facts.in_hand} of {facts.concurrency} tasks at once, and has {ahead}."
        return evolve(known, reason=_R.CONCURRENCY, bound=facts.concurrency, says=says)
    if facts.start_rate is not None and facts.start_wait_ms > 0:
        says = f"Its tenant may start {facts.start_rate:g} tasks a second, and has {ahead}."
        return evolve(known, reason=_R.START_RATE, bound=facts.start_rate, says=says)
    if free == 0:
        says = f"All {facts.slots} slots of {_processes(facts.processes)} are taken, and its tenant has {ahead}."
        return evolve(known, reason=_R.NO_SLOT, says=says)
    if facts.share_used_up:
        share = f"Its tenant has its share of the slots ({facts.tenant_share:g})"
        says = f"{share}, and {ahead}; what is free is kept for others."
        return evolve(known, reason=_R.SHARE, bound=facts.tenant_share, says=says)
    if facts.ahead:
        return evolve(known, reason=_R.QUEUE, says=f"Its tenant has {ahead}; {free} slots are free.")
    return known


def _wait(facts: WaitFacts, reason: WaitReason, says: str) -> TaskWait:
    return TaskWait(facts.task_id, facts.status, reason, says)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _processes(number: int) -> str:
    return f"{number} process{'' if number == 1 else 'es'}"
