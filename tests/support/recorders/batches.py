"""Batches in memory."""

from typing import Any

from attrs import define, evolve, field

from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.batch import Batch, BatchCancelled, BatchCreate, BatchStatus, ItemResult, OnItemError
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.scheduling.batches import BatchFilter
from tests.support.recorders.sessions import NOW


def a_batch(batch_id: str = "b1", *, total: int = 1, completed: int = 0, **fields: Any) -> Batch:
    """A batch of ann's that runs, with so many items; what is not completed waits."""
    known: dict[str, Any] = {
        "tenant_id": "acme",
        "user_id": "ann",
        "agent_id": "echo",
        "status": BatchStatus.RUNNING,
        "running": 0,
        "failed": 0,
        "cancelled": 0,
        "max_concurrency": 10,
        "on_item_error": OnItemError.CONTINUE,
        "priority": 6,
        "created_at": NOW,
        "correlation_id": "c1",
    }
    counts = {"total": total, "completed": completed, "pending": total - completed}
    return Batch(batch_id=batch_id, **(known | counts | fields))


@define
class BatchRecorder:
    """Has the batch b1, and what tests give it."""

    kept: dict[str, Batch] = field(factory=lambda: {"b1": a_batch()})

    def keep(self, batch: Batch) -> None:
        """Have this one."""
        self.kept[batch.batch_id] = batch

    def change(self, batch_id: str, **fields: Any) -> None:
        """Let it go on."""
        self.keep(evolve(self.kept[batch_id], **fields))

    async def create(self, ctx: RequestContext, request: BatchCreate) -> tuple[Batch, bool]:
        batch = a_batch(
            f"b{len(self.kept) + 1}",
            total=len(request.items),
            tenant_id=ctx.tenant_id,
            user_id=ctx.principal.user_id,
        )
        self.keep(batch)
        return batch, False

    async def get(self, ctx: RequestContext, batch_id: str) -> Batch:
        batch = self.kept.get(batch_id)
        if batch is None or (batch.tenant_id, batch.user_id) != (ctx.tenant_id, ctx.principal.user_id):
            raise NotFound(f"There is no batch {batch_id}.")
        return batch

    async def list(
        self, ctx: RequestContext, wanted: BatchFilter | None = None, *, cursor: str | None = None, limit: int
    ) -> Page[Batch]:
        return Page([*self.kept.values()][:limit])

    async def results(
        self,
        ctx: RequestContext,
        batch_id: str,
        *,
        status: TaskStatus | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page[ItemResult]:
        batch = await self.get(ctx, batch_id)
        return Page([ItemResult(number, f"{batch_id}.{number}", TaskStatus.PENDING) for number in range(batch.total)])

    async def cancel(self, ctx: RequestContext, batch_id: str) -> BatchCancelled:
        await self.get(ctx, batch_id)
        return BatchCancelled(batch_id, cancelled=True)
