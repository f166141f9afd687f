"""What happened to a request, and what keeps a task waiting."""

from collections.abc import Sequence

from attrs import evolve, frozen

from orchestrator.domain.tasks.fairness import has_its_share
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.domain.tasks.wait_reasons import explain
from orchestrator.errors import NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.timeline import OpenTask, TaskWait, Timeline, TraceStep
from orchestrator.services.operations.load import LoadService
from orchestrator.services.shared.views import viewer_of
from orchestrator.store.tasks.timelines import TimelineStore


@frozen
class TimelineService:
    """Tells of requests and tasks.

    Args:
        store: reads timelines.
        load: shows the processes.
        tenant_share: what part of the slots of a process one tenant may have.
    """

    store: TimelineStore
    load: LoadService
    tenant_share: float = 1.0

    async def trace(self, ctx: RequestContext, correlation_id: str) -> Timeline:
        """Return the timeline of a request, as far as the caller may see it.

        Raises:
            NotFound: there is none that the caller may see.
        """
        steps = await self.store.steps(viewer_of(ctx), correlation_id)
        if not steps:
            raise NotFound(f"There is no timeline of {correlation_id}; they are kept for a day.")
        opened = await self._open(ctx, correlation_id, steps)
        duration_ms = steps[-1].after_ms
        if opened:
            duration_ms = max(duration_ms, await self.store.now_ms() - from_timestamp(steps[0].at))
        return Timeline(correlation_id, steps[0].at, duration_ms, steps, opened)

    async def _open(self, ctx: RequestContext, correlation_id: str, steps: Sequence[TraceStep]) -> list[OpenTask]:
        """Return the tasks of a request that have not ended, with the calls that they wait for."""
        last = {step.task_id: step for step in steps}
        statuses = await self.store.statuses(ctx.tenant_id, list(last))
        live = {task_id: status for task_id, status in statuses.items() if status not in FINISHED}
        if not live:
            return []
        now = await self.store.now_ms()
        loads = [node.load for node in await self.load.list_nodes() if node.live and node.load is not None]
        calls = [
            f"{call.call} {call.callee}".rstrip() + f" for {max(0, now - from_timestamp(call.since)) / 1000:.1f} s"
            for load in loads
            for call in load.open_calls
            if (call.tenant_id, call.correlation_id) == (ctx.tenant_id, correlation_id)
        ]
        found = []
        for task_id, status in live.items():
            detail = ", ".join(calls) if status is TaskStatus.PROCESSING else (await self.why(ctx, task_id)).says
            found.append(OpenTask(task_id, status, max(0, now - from_timestamp(last[task_id].at)), detail))
        return found

    async def why(self, ctx: RequestContext, task_id: str) -> TaskWait:
        """Say what keeps a task waiting.

        Raises:
            NotFound: there is none that the caller may see.
        """
        facts = await self.store.wait_facts(viewer_of(ctx), task_id)
        if facts is None:
            raise NotFound(f"There is no task {task_id}.")
        live = [node for node in await self.load.list_nodes() if node.live]
        loads = [node.load for node in live if node.load is not None]
        facts = evolve(
            facts,
            processes=len(live),
            slots=sum(load.limit or load.slots for load in loads),
            slots_used=sum(load.in_hand for load in loads),
            tenant_share=self.tenant_share,
            share_used_up=has_its_share(
                [(load.tenants.get(ctx.tenant_id, 0), (load.limit or load.slots) - load.in_hand) for load in loads],
                self.tenant_share,
                await self.store.weight(ctx.tenant_id),
            ),
            left_alone=tuple(sorted({service for load in loads for service in load.breakers})),
        )
        return explain(facts)
