"""The table of task kinds: one record for each, with what runs it."""

from collections.abc import Callable

from attrs import frozen

from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.consumer import TaskHandler
from orchestrator.services.core import Core
from orchestrator.services.tasks.task_kinds import TaskKind


@frozen
class TaskDeps:
    """What handlers of tasks are built from."""

    core: Core
    queue: QueueServices


@frozen
class RunnableKind:
    """A kind of tasks, and what runs them."""

    kind: TaskKind
    handler: Callable[[TaskDeps], TaskHandler]
    """Makes what runs its tasks, once a process."""
