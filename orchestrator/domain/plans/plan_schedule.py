"""What a plan does next: which calls may start, which are left out, how it ends, and what is undone in which order.

A call is looked at when all that it depends on is settled (in a sequential plan: when all calls before it are). It is
left out

- where a call that it depends on has failed and was not optional (only a partial plan goes on then),
- where its parameters need the result of a call that is not done,
- where all that it depends on was left out; one of several branches is enough for what joins them,
- where its `when` is false.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from attrs import frozen

from orchestrator.domain.plans import references
from orchestrator.models.plans.orchestration import ServiceCall, Strategy
from orchestrator.models.plans.plan_state import SETTLED, CallState
from orchestrator.models.tasks.task import TaskStatus


@frozen
class Moves:
    """What follows from the states of a plan's calls."""

    start: list[str]
    skip: list[str]
    undecided: str | None = None
    """The call whose `when` must be looked at before anything follows; nothing is to be done until then."""


@frozen
class PlanSchedule:
    """The calls of a plan without faults, looked through once."""

    calls: Mapping[str, ServiceCall]
    strategy: Strategy
    order: tuple[str, ...]
    """The calls, each after those that it depends on."""
    needs: Mapping[str, frozenset[str]]
    """By call: those whose results its parameters can't do without."""

    @classmethod
    def of(cls, calls: Mapping[str, ServiceCall], strategy: Strategy = Strategy.GRAPH) -> Self:
        """Look calls through."""
        needs = {name: frozenset(_needed(step.parameters)) for name, step in calls.items()}
        return cls(calls, strategy, _order(calls, strategy), needs)

    def moves(self, states: Mapping[str, CallState], holds: Callable[[str], bool | None]) -> Moves:
        """Return what is to be done now.

        Args:
            states: of all calls.
            holds: whether a call's `when` is true, None where that is not known yet; asked only when all that it may
                refer to is settled.
        """
        now = dict(states)
        moves = Moves([], [])
        sequential = self.strategy is Strategy.SEQUENTIAL
        for name in self.order:
            if now[name] is CallState.PENDING and self._is_ready(name, now):
                left_out = self._is_left_out(name, now, holds)
                if left_out is None:
                    return Moves([], [], name)
                if left_out:
                    now[name] = CallState.SKIPPED
                    moves.skip.append(name)
                else:
                    now[name] = CallState.RUNNING
                    moves.start.append(name)
            if sequential and now[name] not in SETTLED:
                break
        return moves

    def status(self, states: Mapping[str, CallState]) -> TaskStatus:
        """Return how a plan ends whose calls are all settled: partial where one failed, failed where nothing is done.

        Nothing needs to be done where all that failed was optional.
        """
        failed = [name for name, state in states.items() if state is CallState.FAILED]
        if not failed:
            return TaskStatus.COMPLETED
        if CallState.DONE in states.values() or all(self.calls[name].optional for name in failed):
            return TaskStatus.PARTIAL
        return TaskStatus.FAILED

    def to_undo(self, done: Sequence[str]) -> list[tuple[str, ServiceCall]]:
        """Return which calls are undone, one after the other, and by what; `done` in the order of their ends."""
        return [(name, step) for name in reversed(done) if (step := self.calls[name].compensate) is not None]

    def _is_ready(self, name: str, states: Mapping[str, CallState]) -> bool:
        return all(states[before] in SETTLED for before in self.calls[name].depends_on)

    def _is_left_out(
        self, name: str, states: Mapping[str, CallState], holds: Callable[[str], bool | None]
    ) -> bool | None:
        step, all_skipped = self.calls[name], True
        for before in step.depends_on:
            if states[before] is CallState.FAILED and not self.calls[before].optional:
                return True
            all_skipped = all_skipped and states[before] is CallState.SKIPPED
        for needed in self.needs[name]:
            if states[needed] is not CallState.DONE:
                return True
        if step.depends_on and all_skipped:
            return True
        if step.when is None:
            return False
        held = holds(name)
        return None if held is None else not held


def _needed(parameters: object) -> Iterable[str]:
    for _, text in references.find(parameters):
        needed = references.parse(text).needs
        if needed is not None:
            yield needed


def _order(calls: Mapping[str, ServiceCall], strategy: Strategy) -> tuple[str, ...]:
    """Sort by dependencies, else as written (Kahn)."""
    if strategy is not Strategy.GRAPH:
        return tuple(calls)
    waits_for = {name: len(step.depends_on) for name, step in calls.items()}
    followers: dict[str, list[str]] = {name: [] for name in calls}
    for name, step in calls.items():
        for before in step.depends_on:
            followers[before].append(name)
    free = deque(name for name, count in waits_for.items() if not count)
    order = []
    while free:
        name = free.popleft()
        order.append(name)
        for follower in followers[name]:
            waits_for[follower] -= 1
            if not waits_for[follower]:
                free.append(follower)
    return tuple(order)
