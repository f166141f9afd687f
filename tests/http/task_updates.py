"""What services tell, taken by a list."""

from attrs import define, field

from orchestrator.models.principal import RequestContext
from orchestrator.models.task import TaskStatus
from orchestrator.models.task_updates import TaskUpdate, TaskUpdated


@define
class FakeTaskUpdates:
    """Takes everything."""

    taken: list[tuple[str, str | None, TaskUpdate]] = field(factory=list)

    async def take(self, ctx: RequestContext, task_id: str, token: str | None, update: TaskUpdate) -> TaskUpdated:
        self.taken.append((task_id, token, update))
        return TaskUpdated(task_id, accepted=True, status=TaskStatus.PENDING)
