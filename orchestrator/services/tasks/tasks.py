"""Tasks as their owners see and stop them."""

import builtins
from functools import partial

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Task, TaskCancelled, TaskStatus
from orchestrator.services.shared.paging import filtered_page
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
        self,
        ctx: RequestContext,
        *,
        status: TaskStatus | None = None,
        type: str | None = None,  # noqa: A002 - the name of the query parameter
        session_id: str | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page[Task]:
        """List the caller's tasks, the newest first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        viewer = viewer_of(ctx)

        async def load(task_ids: builtins.list[str]) -> dict[str, Task]:
            return {one.task_id: one for one in await self.store.load(viewer.tenant_id, task_ids)}

        def keep(task: Task) -> bool:
            return (
                (viewer.sees_whole_tenant or task.user_id == viewer.user_id)
                and status in {None, task.status}
                and type in {None, task.type}
                and session_id in {None, task.session_id}
            )

        places_of = partial(self.store.page, viewer.tenant_id)
        return await filtered_page(places_of, load, keep, cursor=cursor, limit=limit)

    async def cancel(self, ctx: RequestContext, task_id: str) -> TaskCancelled:
        """Stop a task; one that has ended stays as it is.

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
        )
        if verdict is TaskCancelVerdict.UNKNOWN:
            raise _not_found(task_id)
        if more:
            await self.ready.mark(tenant_id)
        return TaskCancelled(task_id, cancelled=verdict is not TaskCancelVerdict.ENDED)


def _not_found(task_id: str) -> NotFound:
    return NotFound(f"There is no task {task_id}.")
