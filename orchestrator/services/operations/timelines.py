"""What happened to a request, and what keeps a task waiting."""

from attrs import evolve, frozen

from orchestrator.domain.tasks.fairness import has_its_share
from orchestrator.domain.tasks.wait_reasons import explain
from orchestrator.errors import NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.timeline import TaskWait, Timeline
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
        return Timeline(correlation_id, steps[0].at, steps[-1].after_ms, steps)

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
            slots=sum(load.slots for load in loads),
            slots_used=sum(load.in_hand for load in loads),
            tenant_share=self.tenant_share,
            share_used_up=has_its_share(
                [(load.tenants.get(ctx.tenant_id, 0), load.slots - load.in_hand) for load in loads],
                self.tenant_share,
                await self.store.weight(ctx.tenant_id),
            ),
            left_alone=tuple(sorted({service for load in loads for service in load.breakers})),
        )
        return explain(facts)
