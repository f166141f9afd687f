"""Runs by any id that stands for one: of a task, of a batch, of an execution of the Workflow Engine, of a workflow."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from orchestrator.errors import NotFound, WrongWorkflowState
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.plans.workflow import RunKind
from orchestrator.services.shared.paging import SCAN_BOUND
from orchestrator.services.shared.views import viewer_of
from orchestrator.store.plans.ownership import OwnershipStore
from orchestrator.store.plans.workflows import FoundRun, WorkflowStore
from orchestrator.store.scheduling.batches import BatchStore
from orchestrator.store.tasks.tasks import TaskStore

NEWEST: Final = 600
"""So many of a tenant's newest tasks are looked at for runs of a workflow; open ones are found in any case."""
_AT_ONCE: Final = 200
"""Tasks that are looked at together."""


@frozen
class Run:
    """What an id stands for."""

    kind: RunKind
    id: str
    """Of the task, or of the batch."""


@frozen
class RunDirectory:
    """Finds runs by the ids that clients and services know them by."""

    tasks: TaskStore
    workflows: WorkflowStore
    batches: BatchStore
    ownership: OwnershipStore

    async def find(self, ctx: RequestContext, name: str) -> Run:
        """Return a run by the id of its task, its batch or its execution; of a workflow, the caller's newest run.

        Raises:
            NotFound: there is none that the caller may see.
        """
        run = await self._by_own_id(ctx, name)
        if run is None:
            newest = await self._newest_of(ctx, name)
            run = None if newest is None else Run(RunKind.WORKFLOW, newest.task_id)
        if run is None:
            raise _not_found(name)
        return run

    async def find_open(self, ctx: RequestContext, name: str, *, correlation_id: str | None = None) -> Run:
        """Return a run by the same ids; of a workflow, the only run that is open.

        Args:
            ctx: the request.
            name: the id.
            correlation_id: tells the runs of a workflow apart where several are open; None: nothing does.

        Raises:
            NotFound: there is none that the caller may see.
            WrongWorkflowState: the id is a workflow's, of which the caller has no open run, or several.
        """
        run = await self._by_own_id(ctx, name)
        if run is not None:
            return run
        still_open = await self._open_of(ctx, name)
        if len(still_open) > 1:
            still_open = [one for one in still_open if one.correlation_id == correlation_id] or still_open
        if not still_open and await self._newest_of(ctx, name) is None:
            raise _not_found(name)
        if len(still_open) != 1:
            message = f"names a workflow of which {len(still_open)} runs are open; name one of them"
            raise WrongWorkflowState(f"The id {message}.", details=[FieldFault("$.path.task_id", message)])
        return Run(RunKind.WORKFLOW, still_open[0].task_id)

    async def task_of_execution(self, tenant_id: str, execution_id: str) -> str | None:
        """Return the task that has an execution of a service run; None: it is unknown."""
        return await self.ownership.task_of(tenant_id, execution_id)

    async def _by_own_id(self, ctx: RequestContext, name: str) -> Run | None:
        """Look in every place, so that another user's id takes as long as one that is not there."""
        return (
            await self._task(ctx, name)
            or await self._batch(ctx, name)
            or await self._task(ctx, await self.task_of_execution(ctx.tenant_id, name) or "")
        )

    async def _task(self, ctx: RequestContext, task_id: str) -> Run | None:
        is_workflow = await self.workflows.is_workflow(viewer_of(ctx), task_id)
        if is_workflow is None:
            return None
        return Run(RunKind.WORKFLOW if is_workflow else RunKind.TASK, task_id)

    async def _batch(self, ctx: RequestContext, batch_id: str) -> Run | None:
        batch = await self.batches.get(viewer_of(ctx), batch_id)
        return None if batch is None else Run(RunKind.BATCH, batch_id)

    async def _newest_of(self, ctx: RequestContext, workflow_id: str) -> FoundRun | None:
        """Return the caller's newest run of a workflow, as far as the tenant's newest tasks tell."""
        before: tuple[int, str] | None = None
        for _ in range(NEWEST // _AT_ONCE):
            places = await self.tasks.page(ctx.tenant_id, before=before, count=_AT_ONCE)
            found = await self._among(ctx, workflow_id, places)
            if found:
                return found[0]
            if len(places) < _AT_ONCE:
                return None
            before = places[-1]
        return None

    async def _open_of(self, ctx: RequestContext, workflow_id: str) -> list[FoundRun]:
        """Return the caller's open runs of a workflow; of very many open tasks, those among the newest."""
        places = await self.tasks.live(ctx.tenant_id)
        if places is None:
            places = await self.tasks.page(ctx.tenant_id, before=None, count=SCAN_BOUND)
        return [one for one in await self._among(ctx, workflow_id, places) if not one.ended]

    async def _among(self, ctx: RequestContext, workflow_id: str, places: Sequence[tuple[int, str]]) -> list[FoundRun]:
        names = [task_id for _, task_id in places]
        return await self.workflows.runs_of(ctx.tenant_id, ctx.principal.user_id, workflow_id, names)


def _not_found(name: str) -> NotFound:
    return NotFound(f"There is no workflow {name}.")
