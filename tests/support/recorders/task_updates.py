"""Updates of services, kept in a list; and runs of tools that never end."""

from typing import Any

from attrs import define, field

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task import Task, TaskStatus
from orchestrator.models.tasks.task_updates import TaskUpdate, TaskUpdated


@define
class FakeTaskUpdates:
    """Takes everything."""

    taken: list[tuple[str, str | None, TaskUpdate]] = field(factory=list)

    async def take(self, ctx: RequestContext, task_id: str, token: str | None, update: TaskUpdate) -> TaskUpdated:
        self.taken.append((task_id, token, update))
        return TaskUpdated(task_id, accepted=True, status=TaskStatus.PENDING)


@define
class FakeToolRuns:
    """Starts nothing."""

    async def start(self, ctx: RequestContext, tool_id: str, parameters: dict[str, Any], **fields: Any) -> Task:
        return Task(
            task_id=new_id(),
            tenant_id=ctx.tenant_id,
            type="tool.execute",
            status=TaskStatus.PENDING,
            attempt=0,
            priority=2,
            created_at="2026-01-01T00:00:00.000Z",
            correlation_id=ctx.correlation_id,
        )
