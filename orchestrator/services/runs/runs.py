"""Runs as clients see and stop them, by whichever id they know: workflows, batches, and tasks of other kinds."""

from attrs import frozen

from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.plans.workflow import (
    RunKind,
    WorkflowCancelled,
    WorkflowInput,
    WorkflowInputTaken,
    WorkflowResults,
    WorkflowStatus,
)
from orchestrator.services.runs.directory import Run, RunDirectory
from orchestrator.services.runs.views import batch_results, batch_status, task_results, task_status
from orchestrator.services.scheduling.batches import BatchService
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.services.workflows.workflows import WorkflowService


@frozen
class RunService:
    """Shows and stops runs."""

    directory: RunDirectory
    workflows: WorkflowService
    batches: BatchService
    tasks: TaskService

    async def find(self, ctx: RequestContext, name: str) -> Run:
        """Return what an id stands for; see `RunDirectory.find`."""
        return await self.directory.find(ctx, name)

    async def status(self, ctx: RequestContext, name: str) -> WorkflowStatus:
        """Show how a run stands.

        Args:
            ctx: the request.
            name: of a task, a batch, an execution, or a workflow, whose newest run it is then.

        Raises:
            NotFound: there is none that the caller may see.
        """
        run = await self.directory.find(ctx, name)
        if run.kind is RunKind.WORKFLOW:
            return await self.workflows.status(ctx, run.id)
        if run.kind is RunKind.BATCH:
            return batch_status(await self.batches.get(ctx, run.id))
        return task_status(await self.tasks.get(ctx, run.id))

    async def results(self, ctx: RequestContext, name: str, *, cursor: str | None, limit: int) -> Page[WorkflowResults]:
        """Show what a run has given; of a batch some of its items at a time.

        Returns:
            One entry, and where the items of a batch go on.

        Raises:
            NotFound: there is none that the caller may see.
            InvalidParameter: the cursor is none of the batch's.
        """
        run = await self.directory.find(ctx, name)
        if run.kind is RunKind.WORKFLOW:
            return Page([await self.workflows.results(ctx, run.id)])
        if run.kind is RunKind.TASK:
            return Page([task_results(await self.tasks.get(ctx, run.id))])
        batch = await self.batches.get(ctx, run.id)
        page = await self.batches.results(ctx, run.id, cursor=cursor, limit=limit)
        return Page([batch_results(batch, page.items)], page.next_cursor)

    async def input(
        self, ctx: RequestContext, name: str, given: WorkflowInput, *, of_session: str | None = None
    ) -> WorkflowInputTaken:
        """Answer what a run asks its user.

        Args:
            ctx: the request.
            name: of its task, its execution, or a workflow of which one run alone is open.
            given: see `WorkflowService.input`.
            of_session: see there, too.

        Raises:
            NotFound: there is none that the caller may see.
            WrongWorkflowState: it does not wait for its user so, or no run of the workflow is open, or several are.
            ServiceFault: the Workflow Engine is away, or refused the answer.
        """
        run = await self.directory.find_open(ctx, name)
        return await self.workflows.input(ctx, run.id, given, of_session=of_session)

    async def cancel(
        self,
        ctx: RequestContext,
        name: str,
        *,
        reason: str | None = None,
        quietly: bool = False,
        correlation_id: str | None = None,
    ) -> WorkflowCancelled:
        """Stop a run; one that has ended stays as it is.

        Args:
            ctx: the request.
            name: of a task, a batch, an execution, or a workflow of which one run alone is open.
            reason: why; it is told of a workflow, and kept with a task.
            quietly: whether the session that a workflow tells hears nothing of it any more.
            correlation_id: of the request that has started the run, where several of a workflow may be open.

        Raises:
            NotFound: there is none that the caller may see.
            WrongWorkflowState: no run of the workflow is open, or several are.
        """
        run = await self.directory.find_open(ctx, name, correlation_id=correlation_id)
        if run.kind is RunKind.WORKFLOW:
            return await self.workflows.cancel(ctx, run.id, reason=reason, quietly=quietly)
        if run.kind is RunKind.BATCH:
            return WorkflowCancelled(run.id, (await self.batches.cancel(ctx, run.id)).cancelled)
        return WorkflowCancelled(run.id, (await self.tasks.cancel(ctx, run.id, reason=reason)).cancelled)
