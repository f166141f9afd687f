"""Batches: many questions or inputs in, one batch out."""

import builtins
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, Protocol

import orjson
from attrs import evolve, frozen

from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.codec import encode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import InvalidBody, InvalidParameter, NotFound, Unprocessable
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.tasks.batch import (
    PRIORITY,
    Batch,
    BatchCancelled,
    BatchCreate,
    BatchItem,
    BatchProgress,
    BatchStatus,
    ItemResult,
)
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskStatus
from orchestrator.services.shared.agent_lookup import Agents, must_exist
from orchestrator.services.shared.cursors import read_cursor, write_cursor
from orchestrator.services.shared.paging import SCAN_BOUND, filtered_page
from orchestrator.services.shared.views import key_reused, quota_reached, tenant_refuses, viewer_of
from orchestrator.services.tasks.callbacks import callback_task, check_callback
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.tasks.payloads import GIVEN_ALONG, PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind
from orchestrator.services.workflows.workflow_task import WORKFLOW
from orchestrator.store.events.frames import make_body
from orchestrator.store.scheduling.batches import ITEM, TASK, BatchAdmitVerdict, BatchCancelVerdict, BatchStore, sees
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants

BATCH_ITEM: Final = TaskKind(
    MessageType("batch", "item"),
    payload={
        "agent_id": PayloadField(str),
        "content": PayloadField(str),
        "message_id": PayloadField(str),
        "metadata": PayloadField(dict, required=False),
        **GIVEN_ALONG,
    },
    priority=PRIORITY,
)
MOST_FAULTS: Final = 100
_GOES: Final = {"content": "a workflow", "input": "an agent"}


class Workflows(Protocol):
    """Looks workflows up; `EngineService` does."""

    async def must_exist(self, ctx: RequestContext, workflow_id: str) -> None:
        """Refuse a workflow that is not there; raises NotFound."""


@frozen
class BatchService:
    """Creates, shows and cancels batches."""

    store: BatchStore
    ready: ReadyTenants
    agents: Agents
    settings: AgentOrchestratorSettings
    workflows: Workflows
    due: DueTenants

    async def create(self, ctx: RequestContext, request: BatchCreate) -> tuple[Batch, bool]:
        """Create a batch, and tell whether an earlier request with the same idempotency key had done so.

        Raises:
            InvalidBody: it names neither agent nor workflow, or both; an item lacks what that needs; or nothing may be
                sent to the callback's URL.
            Unprocessable: `scheduled_for` is past, or too far ahead.
            NotFound: there is no such agent, or workflow.
            QueueFull: the tenant has too much work waiting.
            TenantDraining, IdempotencyKeyReused
        """
        of = _of(request)
        if request.callback is not None:
            check_callback(request.callback.url, AddressGuard(self.settings.callback_allow))
        if request.workflow_id is not None:
            await self.workflows.must_exist(ctx, request.workflow_id)
        else:
            await must_exist(self.agents, ctx, of["agent_id"])
        batch_id, viewer = new_id(), viewer_of(ctx)
        kind = WORKFLOW if "workflow_id" in of else BATCH_ITEM
        template = self._template(ctx, batch_id, kind, of, request.priority)
        scheduled_ms = None if request.scheduled_for is None else from_timestamp(request.scheduled_for)
        item_bytes = await self.store.stage(ctx.tenant_id, batch_id, request.items)
        verdict, detail = await self.store.admit(
            viewer,
            batch_id,
            template,
            of=of,
            total=len(request.items),
            item_bytes=item_bytes,
            max_concurrency=request.max_concurrency,
            on_item_error=request.on_item_error,
            lane=Lane.LOW if request.priority >= PRIORITY else Lane.NORMAL,
            progress=_progress_template(ctx, batch_id, len(request.items)),
            idempotency_key=ctx.idempotency_key or ctx.message_id or batch_id,
            digest=hashlib.sha256(b"batch.create" + encode(request)).hexdigest(),
            retain_seconds=int(self.settings.retain_tasks),
            callback=(
                None
                if request.callback is None
                else callback_task(ctx, {"batch_id": batch_id, "url": request.callback.url})
            ),
            item_record=kind.record(template),
            scheduled_ms=scheduled_ms,
        )
        if verdict is BatchAdmitVerdict.REUSED:
            raise key_reused()
        if verdict is BatchAdmitVerdict.TENANT:
            raise tenant_refuses(detail)
        if verdict is BatchAdmitVerdict.FULL:
            raise quota_reached(detail)
        if verdict is BatchAdmitVerdict.MOMENT:
            raise _wrong_moment()
        if verdict is BatchAdmitVerdict.OK and scheduled_ms is not None:
            await self.due.mark(ctx.tenant_id, scheduled_ms)
        elif verdict is BatchAdmitVerdict.OK:
            await self.ready.mark(ctx.tenant_id)
        return await self.get(ctx, detail or batch_id), verdict is BatchAdmitVerdict.REPLAYED

    async def get(self, ctx: RequestContext, batch_id: str) -> Batch:
        """Return a batch.

        Raises:
            NotFound: there is none that the caller may see.
        """
        batch = await self.store.get(viewer_of(ctx), batch_id)
        if batch is None:
            raise _not_found(batch_id)
        return batch

    async def list(
        self, ctx: RequestContext, *, status: BatchStatus | None = None, cursor: str | None = None, limit: int
    ) -> Page[Batch]:
        """List the caller's batches, the newest first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        viewer = viewer_of(ctx)

        async def load(batch_ids: builtins.list[str]) -> dict[str, Batch]:
            return {one.batch_id: one for one in await self.store.load(viewer.tenant_id, batch_ids)}

        return await filtered_page(
            partial(self.store.page, viewer.tenant_id),
            load,
            lambda batch: sees(viewer, batch) and status in {None, batch.status},
            cursor=cursor,
            limit=limit,
        )

    async def results(
        self,
        ctx: RequestContext,
        batch_id: str,
        *,
        status: TaskStatus | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page[ItemResult]:
        """List the items of a batch in their order, each with what became of it.

        Raises:
            NotFound: there is no batch that the caller may see.
            InvalidParameter: the cursor is none of this list.
        """
        batch = await self.get(ctx, batch_id)
        first = _place(cursor, batch_id)
        last = min(batch.total, first + SCAN_BOUND)
        found: builtins.list[ItemResult] = []
        for start in range(first, last, limit):
            for item in await self.store.items(batch, start, min(limit, last - start)):
                if status in {None, item.status}:
                    found.append(item)
                if len(found) == limit:
                    return Page(found, _cursor(batch, item.index + 1))
        return Page(found, _cursor(batch, last))

    async def cancel(self, ctx: RequestContext, batch_id: str) -> BatchCancelled:
        """Stop a batch; one that has ended stays as it is.

        Raises:
            NotFound: there is none that the caller may see.
        """
        verdict = await self.store.cancel(viewer_of(ctx), batch_id)
        if verdict is BatchCancelVerdict.UNKNOWN:
            raise _not_found(batch_id)
        # The end of a batch may bring its callback.
        await self.ready.mark(ctx.tenant_id)
        return BatchCancelled(batch_id, cancelled=verdict is BatchCancelVerdict.DONE)

    def _template(
        self, ctx: RequestContext, batch_id: str, kind: TaskKind, of: Mapping[str, str], priority: int
    ) -> TaskMessage:
        """Return the message of an item; what the item holds comes last."""
        seconds = self.settings.workflow_timeout if kind is WORKFLOW else self.settings.turn_timeout
        template = new_task(
            ctx,
            kind,
            {"batch_id": batch_id, **of, "message_id": TASK, ITEM: None},
            priority=priority,
            timeout_ms=int(seconds * 1000),
        )
        return evolve(template, message_id=TASK, task_id=TASK)


def _of(request: BatchCreate) -> dict[str, str]:
    """Return whom or what a batch is for, once its items fit that.

    Raises:
        InvalidBody: with every fault, `MOST_FAULTS` at most.
    """
    if (request.agent_id is None) == (request.workflow_id is None):
        fault = FieldFault("$.data", "must have either 'agent_id' or 'workflow_id'")
        raise InvalidBody(f"The batch {fault.message}.", details=[fault])
    needed, other = ("content", "input") if request.workflow_id is None else ("input", "content")
    faults = list(islice(_item_faults(request.items, needed, other), MOST_FAULTS))
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return {"workflow_id": request.workflow_id} if request.workflow_id else {"agent_id": str(request.agent_id)}


def _item_faults(items: Sequence[BatchItem], needed: str, other: str) -> Iterator[FieldFault]:
    for index, item in enumerate(items):
        if getattr(item, needed) is None:
            yield FieldFault(f"$.data.items[{index}].{needed}", "required field is missing")
        if getattr(item, other) is not None:
            yield FieldFault(f"$.data.items[{index}].{other}", f"does not go with {_GOES[other]}")


def _wrong_moment() -> Unprocessable:
    fault = FieldFault("$.data.scheduled_for", "must be in the future, and within a year")
    return Unprocessable(f"The moment of the batch {fault.message}.", details=[fault])


def _progress_template(ctx: RequestContext, batch_id: str, total: int) -> bytes:
    """Encode `batch.progress` with names, `@` in front, where scripts put figures, the moment and an id."""
    progress = BatchProgress(batch_id, 0, 0, total, 0, BatchStatus.RUNNING)
    body = orjson.loads(
        make_body("batch.progress", progress, tenant_id=ctx.tenant_id, correlation_id=ctx.correlation_id)
    )
    body["data"] |= {name: f"@{name}" for name in ("completed", "failed", "cancelled", "status")}
    return orjson.dumps(body | {"message_id": "@message", "created_at": "@moment"})


def _place(cursor: str | None, batch_id: str) -> int:
    """Return the place at which a page of results begins."""
    place = read_cursor(cursor)
    if place is None:
        return 0
    if place[1] != batch_id or place[0] < 0:
        fault = FieldFault("$.query.cursor", "is not a cursor of this list")
        raise InvalidParameter("The cursor is not one that the results of this batch gave.", details=[fault])
    return place[0]


def _cursor(batch: Batch, following: int) -> str | None:
    return write_cursor((following, batch.batch_id)) if following < batch.total else None


def _not_found(batch_id: str) -> NotFound:
    return NotFound(f"There is no batch {batch_id}.")
