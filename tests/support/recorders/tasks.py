"""The one task that there is, for tests of what the HTTP side alone decides."""

from typing import Any

from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task import Task, TaskCancelled, TaskStatus
from orchestrator.models.tasks.timeline import TaskWait, Timeline, TraceStep, WaitReason
from tests.support.recorders.sessions import NOW


class FakeTasks:
    """The task t1."""

    async def get(self, ctx: RequestContext, task_id: str) -> Task:
        if task_id != "t1":
            raise NotFound(f"There is no task {task_id}.")
        return Task("t1", ctx.tenant_id, "chat.message", TaskStatus.PENDING, 0, 5, NOW, "c1")

    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[Task]:
        return Page([await self.get(ctx, "t1")])

    async def cancel(self, ctx: RequestContext, task_id: str) -> TaskCancelled:
        await self.get(ctx, task_id)
        return TaskCancelled(task_id, cancelled=True)


class FakeTimelines:
    """What has happened to it."""

    async def trace(self, ctx: RequestContext, correlation_id: str) -> Timeline:
        return Timeline(correlation_id, NOW, 0, [TraceStep(NOW, 0, "accepted", "t1", 0)])

    async def why(self, ctx: RequestContext, task_id: str) -> TaskWait:
        return TaskWait(task_id, TaskStatus.PENDING, WaitReason.NEXT, "It is the next to be claimed.", ahead=0)
