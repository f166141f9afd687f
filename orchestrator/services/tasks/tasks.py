"""Tasks as their owners see and stop them."""

import builtins

from attrs import field, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Task, TaskCancelled, TaskStatus
from orchestrator.services.shared.paging import Period, Place, filtered_page
from orchestrator.services.shared.views import state_body, status_template, viewer_of
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.tasks.tasks import Retention, TaskCancelVerdict, TaskStore


def retention_of(settings: AgentOrchestratorSettings) -> Retention:
    """Return how long and how much is kept."""
    return Retention(
        task_seconds=int(settings.retain_tasks),
        pause_after_ms=round(settings.pause_after * 1000),
        history_length=settings.history_length,
        history_seconds=int(settings.retain_sessions),
    )


@frozen
class TaskFilter:
    """Which tasks of a list: those that meet all that is given."""

    status: TaskStatus | None = None
    type: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    user_id: str | None = None
    error_code: str | None = None
    period: Period = field(factory=Period)
    """When they were accepted."""

    def takes(self, task: Task) -> bool:
        """Tell whether a task is one of them, its moment left aside."""
        return (
            self.status in {None, task.status}
            and self.type in {None, task.type}
            and self.session_id in {None, task.session_id}
            and self.agent_id in {None, task.agent_id}
            and self.user_id in {None, task.user_id}
            and self.error_code in {None, task.error.code if task.error is not None else None}
        )


@frozen
class TaskService:
    """Shows and stops tasks."""

    store: TaskStore
    ready: ReadyTenants
    retention: Retention

    async def get(self, ctx: RequestContext, task_id: str) -> Task:
        """Return a task.

        Raises:
            NotFound: there is none that the caller may see.
        """
        task = await self.store.get(viewer_of(ctx), task_id)
        if task is None:
            raise _not_found(task_id)
        return task

    async def list(
        self, ctx: RequestContext, wanted: "TaskFilter | None" = None, *, cursor: str | None = None, limit: int
    ) -> Page[Task]:
        """List the caller's tasks, the newest first.

        Args:
            ctx: who asks.
            wanted: which of them; None: all.
            cursor: where the page before ended; None: from the newest.
            limit: how many at most.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        viewer, wanted = viewer_of(ctx), wanted or TaskFilter()

        async def load(task_ids: builtins.list[str]) -> dict[str, Task]:
            return {one.task_id: one for one in await self.store.load(viewer.tenant_id, task_ids)}

        async def places_of(*, before: Place | None, count: int) -> builtins.list[Place]:
            return await self.store.page(viewer.tenant_id, before=before, count=count, status=wanted.status)

        def keep(task: Task) -> bool:
            return (viewer.sees_whole_tenant or task.user_id == viewer.user_id) and wanted.takes(task)

        return await filtered_page(places_of, load, keep, cursor=cursor, limit=limit, period=wanted.period)

    async def cancel(self, ctx: RequestContext, task_id: str, *, reason: str | None = None) -> TaskCancelled:
        """Stop a task, and keep why; one that has ended stays as it is.

        Raises:
            NotFound: there is none that the caller may see.
        """
        task = await self.get(ctx, task_id)
        tenant_id, correlation_id = ctx.tenant_id, ctx.correlation_id
        verdict, more = await self.store.cancel(
            viewer_of(ctx),
            task_id,
            correlation_id=correlation_id,
            status_template=status_template(tenant_id, MessageStatus.CANCELLED, correlation_id),
            state_body=state_body(tenant_id, task.session_id or "", SessionState.ACTIVE, correlation_id),
            retention=self.retention,
            reason=reason or "",
        )
        if verdict is TaskCancelVerdict.UNKNOWN:
            raise _not_found(task_id)
        if more:
            await self.ready.mark(tenant_id)
        return TaskCancelled(task_id, cancelled=verdict is not TaskCancelVerdict.ENDED)


def _not_found(task_id: str) -> NotFound:
    return NotFound(f"There is no task {task_id}.")
