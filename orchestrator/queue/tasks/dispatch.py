"""Which handler runs a claimed task."""

from collections.abc import Mapping

from attrs import frozen

from orchestrator.errors import InvalidBody
from orchestrator.queue.attempts.dead_lettering import dead_letter
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.consumer import TaskHandler


@frozen
class Dispatcher:
    """Runs each task by the handler of its type; one of a type that has none goes to the dead letters.

    Args:
        services: what the queue works with.
        handlers: by type, `domain.action`.
    """

    services: QueueServices
    handlers: Mapping[str, TaskHandler]

    async def __call__(self, running: RunningTask) -> None:
        """Run a claimed task to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        name = running.claim.record.get(b"type", b"").decode()
        handler = self.handlers.get(name)
        if handler is None:
            await dead_letter(self.services, running, InvalidBody(f"Nothing here runs tasks of the type {name!r}."))
        else:
            await handler(running)
