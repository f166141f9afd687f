"""Batches: many questions or inputs in, one batch out."""

import builtins
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, Protocol

import orjson
from attrs import evolve, field, frozen

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
    BatchOperation,
    BatchProgress,
    BatchStatus,
    ItemResult,
)
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskStatus
from orchestrator.services.shared.agent_lookup import Agents, must_exist
from orchestrator.services.shared.cursors import read_cursor, write_cursor
from orchestrator.services.shared.idempotency import without_unsaid
from orchestrator.services.shared.paging import SCAN_BOUND, Period, filtered_page
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
from orchestrator.telemetry.tracing.work import admits

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
_SCAN_PART: Final = 200
"""Items that are read at once where their status decides."""
MOST_FAULTS: Final = 100
_PLANS: Final[Mapping[str, Mapping[str, object]]] = {
    BatchOperation.EMBEDDING: {
        "calls": {
            "embed": {"service": "embedding", "operation": "create", "parameters": {"texts": ["$.input.text"]}},
        },
    },
}
"""What is run with each item, by operation."""
_ADDED: Final = frozenset({"operation", "item_id"})
"""Fields of requests and of items that earlier versions did not know."""
_GOES: Final = {"content": "a workflow", "input": "an agent"}


class Workflows(Protocol):
    """Looks workflows up; `EngineService` does."""

    async def must_exist(self, ctx: RequestContext, workflow_id: str) -> None:
        """Refuse a workflow that is not there; raises NotFound."""


@frozen
class BatchFilter:
    """Which batches of a list: those that meet all that is given."""

    status: BatchStatus | None = None
    user_id: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    period: Period = field(factory=Period)
    """When they were accepted."""

    def takes(self, batch: Batch) -> bool:
        """Tell whether a batch is one of them, the period left aside."""
        owned = self.status in {None, batch.status} and self.user_id in {None, batch.user_id}
        return owned and self.agent_id in {None, batch.agent_id} and self.workflow_id in {None, batch.workflow_id}


@frozen
class BatchService:
    """Creates, shows and cancels batches."""

    store: BatchStore
    ready: ReadyTenants
    agents: Agents
    settings: AgentOrchestratorSettings
    workflows: Workflows
    due: DueTenants

    @admits
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
        elif request.agent_id is not None:
            await must_exist(self.agents, ctx, request.agent_id)
        batch_id, viewer = new_id(), viewer_of(ctx)
        kind = BATCH_ITEM if "agent_id" in of else WORKFLOW
        template = self._template(ctx, batch_id, kind, of, request.priority)
        items = request.items if request.operation is None else list(map(_as_input, request.items))
        scheduled_ms = None if request.scheduled_for is None else from_timestamp(request.scheduled_for)
        item_bytes = await self.store.stage(ctx.tenant_id, batch_id, items)
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
            digest=_digest(request),
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
        self, ctx: RequestContext, wanted: BatchFilter | None = None, *, cursor: str | None = None, limit: int
    ) -> Page[Batch]:
        """List the caller's batches that `wanted` takes, or all, the newest first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        viewer, wanted = viewer_of(ctx), wanted or BatchFilter()

        async def load(batch_ids: builtins.list[str]) -> dict[str, Batch]:
            return {one.batch_id: one for one in await self.store.load(viewer.tenant_id, batch_ids)}

        def keep(batch: Batch) -> bool:
            return wanted.takes(batch) and sees(viewer, batch)

        places_of = partial(self.store.page, viewer.tenant_id)
        return await filtered_page(places_of, load, keep, cursor=cursor, limit=limit, period=wanted.period)

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
        # A short page of few items that match costs no round trip for each of the others.
        part = limit if status is None else max(limit, _SCAN_PART)
        for start in range(first, last, part):
            for item in await self.store.items(batch, start, min(part, last - start)):
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
        what = of if "operation" not in of else {"workflow_id": of["operation"], "plan": _PLANS[of["operation"]]}
        template = new_task(
            ctx,
            kind,
            {"batch_id": batch_id, **what, "message_id": TASK, ITEM: None},
            priority=priority,
            timeout_ms=int(seconds * 1000),
        )
        return evolve(template, message_id=TASK, task_id=TASK)


def _of(request: BatchCreate) -> dict[str, str]:
    """Return whom or what a batch is for, once its items fit that.

    Raises:
        InvalidBody: with every fault, `MOST_FAULTS` at most.
    """
    given = {"agent_id": request.agent_id, "workflow_id": request.workflow_id, "operation": request.operation}
    of = {name: str(value) for name, value in given.items() if value is not None}
    if len(of) != 1:
        fault = FieldFault("$.data", "must have either 'agent_id' or 'workflow_id', or an 'operation'")
        raise InvalidBody(f"The batch {fault.message}.", details=[fault])
    needed, other = ("content", "input") if request.workflow_id is None else ("input", "content")
    faults = list(islice(_item_faults(request.items, needed, other), MOST_FAULTS))
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return of


def _as_input(item: BatchItem) -> BatchItem:
    """Return an item with its content where a plan reads it."""
    return BatchItem(input={"text": item.content}, metadata=item.metadata, item_id=item.item_id)


def _digest(request: BatchCreate) -> str:
    """Return what makes a request the same as another."""
    same = without_unsaid(request, _ADDED)
    same["items"] = [without_unsaid(item, _ADDED) for item in request.items]
    return hashlib.sha256(b"batch.create" + encode(same)).hexdigest()


def _item_faults(items: Sequence[BatchItem], needed: str, other: str) -> Iterator[FieldFault]:
    names: set[str] = set()
    for index, item in enumerate(items):
        if item.item_id in names:
            yield FieldFault(f"$.data.items[{index}].item_id", "is another item's, too")
        elif item.item_id is not None:
            names.add(item.item_id)
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
