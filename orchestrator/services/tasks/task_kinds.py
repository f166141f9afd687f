"""Kinds of tasks: what services have to know of each, as one record.

The record stands with the service that makes such tasks; `queue.tasks` adds what runs them, and has the list of all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Self

from attrs import field, frozen

from orchestrator.domain.tasks.replays import calls_before
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.services.tasks.payloads import PayloadField, check_payload
from orchestrator.store.operations.dead_letters import TaskRecord
from orchestrator.store.plans.delegations import Reported

Complete = Callable[[TaskMessage], TaskMessage]
"""Fills in what the payload of a message may leave out that no service has made; InvalidBody where it does not fit."""
Check = Callable[[TaskMessage], None]
"""Refuses what no task of the kind is; InvalidBody."""
RecordFields = Callable[[TaskMessage], dict[str, str | bytes | int]]
"""Returns what the record of a task has beside the fields that every task has."""
Reused = Callable[[TaskRecord, str], list[str]]
"""Names the checkpoints that a replay from a call on takes over; InvalidBody where the task has no such call."""
Needs = Callable[[TaskMessage], Iterable[tuple[str, str]]]
"""Returns the permissions that a task takes beside that of the route that makes it: (place in its payload, which)."""
ToldEvents = list[tuple[str, object]]
"""Events, by name."""
Teller = Callable[[str, Reported, TaskProgress], ToldEvents]
"""Returns what followers of a task are told of some progress: (task id, whose task, progress)."""


def _unchanged(message: TaskMessage) -> TaskMessage:
    return message


def _anything(_: TaskMessage) -> None:
    return


def _no_fields(_: TaskMessage) -> dict[str, str | bytes | int]:
    return {}


def _nothing_more(_: TaskMessage) -> Iterable[tuple[str, str]]:
    return ()


def _all_before(record: TaskRecord, call: str) -> list[str]:
    return calls_before(list(record.checkpoints), call, complete=record.status == TaskStatus.COMPLETED)


@frozen
class TaskKind:
    """A kind of tasks."""

    type: MessageType
    """What its tasks are named by: `domain.action`."""
    payload: Mapping[str, PayloadField] = field(factory=dict)
    """The fields of a payload that what runs such tasks reads."""
    also: Check = _anything
    """What is to be checked beside."""
    priority: int = 5
    """From 0 (highest) to 9: of a task whose maker asks for none."""
    complete: Complete = _unchanged
    record: RecordFields = _no_fields
    """For tasks that no request has admitted."""
    reused: Reused = _all_before
    needs: Needs = _nothing_more
    """Who changes what a task does needs these too."""
    tell: Teller | None = None
    """None: followers are told nothing of progress; the record has it."""
    in_session: bool = False
    """Whether its tasks are turns of their session: one after the other, with the session's state and events."""
    holds_up_drain: bool = True
    """Whether a tenant is drained only when no such task waits for its next attempt."""

    def __str__(self) -> str:
        return str(self.type)

    def check(self, message: TaskMessage) -> None:
        """Refuse a message that what runs such tasks could not read.

        Raises:
            InvalidBody: with every fault and its path.
        """
        check_payload(message, self.payload)
        self.also(message)


@frozen
class TaskKinds:
    """The kinds of tasks that a process knows."""

    by_name: Mapping[str, TaskKind]
    passed_over_by_drains: tuple[str, ...] = field(init=False)
    """Types whose tasks hold up no drain while they wait for their next attempt."""

    @passed_over_by_drains.default
    def _passed_over(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.by_name.items() if not kind.holds_up_drain)

    @classmethod
    def of(cls, kinds: Iterable[TaskKind]) -> Self:
        """Collect kinds.

        Raises:
            ValueError: two have the same type.
        """
        by_name: dict[str, TaskKind] = {}
        for kind in kinds:
            if by_name.setdefault(str(kind), kind) is not kind:
                raise ValueError(f"two kinds of tasks have the type {kind}")
        return cls(by_name)

    def named(self, name: str) -> TaskKind:
        """Return the kind of a type.

        Tasks of a type that is not known here may be of a later version: their session hears how they end.
        """
        return self.by_name.get(name) or TaskKind(MessageType.parse(name), in_session=True)
