"""Batches in Redis: laid ready chunk by chunk, created by one script, run by the ends of their own items."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final

import orjson

from orchestrator.codec import encode
from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.tasks.batch import (
    Batch,
    BatchItem,
    BatchStatus,
    ItemResult,
    OnItemError,
)
from orchestrator.models.tasks.task import Lane, TaskMessage
from orchestrator.store.contents import ERROR, ITEM_PLACE, RESULT, TEMPLATE
from orchestrator.store.contents import ITEM as ITEM_CONTENT
from orchestrator.store.records import readable, reading
from orchestrator.store.scheduling.batch_records import ItemEnd, damaged_item, read_batch, read_item
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tenant_store import TenantStore, descending, read_verdict

_STAGE: Final = Script("admission/stage_batch")
_ADMIT: Final = Script("admission/admit_batch")
_LOOK: Final = Script("admission/look_batch")
_CANCEL: Final = Script("admission/cancel_batch")

CHUNK_BYTES: Final = 524_288
CHUNK_ITEMS: Final = 1000
STAGED_SECONDS: Final = 300
"""How long items lie ready for a batch that is not created after all."""

ITEM: Final = "@item"
TASK: Final = "@task"
"""Stand in a template for what differs between items."""


class BatchAdmitVerdict(StrEnum):
    """What `admit` decided."""

    OK = "ok"
    REPLAYED = "replayed"
    REUSED = "reused"
    TENANT = "tenant"
    FULL = "full"
    MOMENT = "moment"
    UNSTAGED = "unstaged"


class BatchCancelVerdict(StrEnum):
    """What `cancel` decided."""

    DONE = "done"
    ENDED = "ended"
    """The batch had ended, or was being stopped."""
    UNKNOWN = "unknown"


class BatchStore(TenantStore):
    """The batches of tenants."""

    async def stage(self, tenant_id: str, batch_id: str, items: Sequence[BatchItem]) -> int:
        """Lay the items of a batch ready, in chunks; without `admit` they are gone after a while. Returns their bytes.

        Raises:
            StoreUnavailable: Redis is away.
        """
        chunk: list[object] = []
        size = total = 0
        for index, item in enumerate(items):
            inner = self.contents.seal(tenant_id, ITEM_CONTENT, _inner(item))
            if chunk and (size + len(inner) > CHUNK_BYTES or len(chunk) >= 2 * CHUNK_ITEMS):
                await self.run(_STAGE, tenant_id, batch_id, STAGED_SECONDS, *chunk)
                chunk, size = [], 0
            chunk += [index, inner]
            size, total = size + len(inner), total + len(inner)
        await self.run(_STAGE, tenant_id, batch_id, STAGED_SECONDS, *chunk)
        return total

    async def admit(
        self,
        viewer: Viewer,
        batch_id: str,
        template: TaskMessage,
        *,
        of: Mapping[str, str],
        total: int,
        item_bytes: int,
        max_concurrency: int,
        on_item_error: OnItemError,
        lane: Lane,
        progress: bytes,
        idempotency_key: str,
        digest: str,
        retain_seconds: int,
        callback: TaskMessage | None = None,
        item_record: Mapping[str, str | bytes | int],
        scheduled_ms: int | None = None,
    ) -> tuple[BatchAdmitVerdict, str]:
        """Create a batch whose items lie ready, all of it or nothing.

        Args:
            viewer: who creates it.
            batch_id: its id.
            template: the message of its tasks, with `TASK` for its ids and `ITEM` as the last key of its payload.
            of: `agent_id` of who answers, or `workflow_id` of what runs.
            total: how many items were laid ready.
            item_bytes: how many bytes they have together.
            max_concurrency: how many may be tasks at once.
            on_item_error: what a failed item means for the others.
            lane: where the tasks queue.
            progress: body of `batch.progress`, with names in place of figures (`lib/tasks/batches.lua`).
            idempotency_key: a request with the same key and digest gets the same batch again.
            digest: of the request.
            retain_seconds: how long records are kept.
            callback: the task that the end of the batch brings.
            item_record: further fields of the records of its tasks.
            scheduled_ms: the moment (ms) at which it begins; None: now.

        Returns:
            The verdict; and the batch's id (REPLAYED), the tenant's state (TENANT) or the quota (FULL).

        Raises:
            StoreUnavailable: Redis is away, or has lost what was laid ready.
        """
        tenant_id = viewer.tenant_id
        head, tail = self._template(tenant_id, encode(template))
        record: dict[str, str | bytes | int] = {
            "user_id": viewer.user_id,
            "type": str(template.type),
            **of,
            "max_concurrency": max_concurrency,
            "on_item_error": on_item_error,
            "priority": template.priority,
            "lane": lane,
            "correlation_id": template.correlation_id,
            "head": head,
            "tail": tail,
            "progress": progress,
            "retain": retain_seconds,
            "epoch": new_epoch(),
        }
        if callback is not None:
            record |= {
                "callback_url": callback.payload["url"],
                "callback_task": callback.task_id,
                "callback_message": encode(callback),
                "callback_priority": callback.priority,
                "callback_type": str(callback.type),
            }
        if item_record:
            # As Lua's `HSET` takes them: all as text.
            texts = (value.decode() if isinstance(value, bytes) else str(value) for value in _flat(item_record))
            record["item_record"] = orjson.dumps(list(texts))
        reply = await self.run(
            _ADMIT,
            tenant_id,
            batch_id,
            digest,
            total,
            self.limit_defaults["queue_length"],
            max_concurrency,
            IDEMPOTENCY_SECONDS,
            "" if scheduled_ms is None else scheduled_ms,
            *(self.limit_defaults[name] for name in ("batches", "bytes")),
            item_bytes,
            *self.contents.seal_fields(tenant_id, "batch", record),
            keys=[self.keys.idempotency(tenant_id, viewer.user_id, idempotency_key)],
        )
        verdict, detail = read_verdict(BatchAdmitVerdict, reply)
        if verdict is BatchAdmitVerdict.OK:
            await self.note_tenant(tenant_id)
        elif verdict is BatchAdmitVerdict.UNSTAGED:
            raise StoreUnavailable("Redis has lost a part of the batch before it was created; send it again.")
        return verdict, detail

    async def get(self, viewer: Viewer, batch_id: str) -> Batch | None:
        """Return a batch; None if there is none that `viewer` may see."""
        reply = await self.run(_LOOK, viewer.tenant_id, batch_id, viewer.user_id, viewer.flag)
        batch = self._read(viewer.tenant_id, reply) if reply else None
        return batch if batch and sees(viewer, batch) else None

    async def load(self, tenant_id: str, batch_ids: Sequence[str]) -> list[Batch]:
        """Return the batches that still have a record that can be read."""
        found = [await self._look(tenant_id, batch_id) for batch_id in batch_ids]
        return readable(partial(self._read, tenant_id), found)

    def _read(self, tenant_id: str, reply: list[Any]) -> Batch:
        running, *pairs = reply
        return read_batch(tenant_id, running, self.contents.open_pairs(tenant_id, "batch", pairs))

    def _template(self, tenant_id: str, template: bytes) -> tuple[bytes | str, bytes]:
        """Return what stands before an item and behind it; the sealed whole, and nothing, where contents are sealed."""
        sealed = self.contents.seal(tenant_id, TEMPLATE, template)
        if sealed is not template:
            return sealed, b""
        head, tail = template.split(ITEM_PLACE)
        return head, tail

    async def _look(self, tenant_id: str, batch_id: str) -> Any:
        try:
            return await self.run(_LOOK, tenant_id, batch_id, "", "1")
        except TenantDamaged as damage:
            return damage

    async def page(self, tenant_id: str, *, before: tuple[int, str] | None, count: int) -> list[tuple[int, str]]:
        """List the (moment of acceptance in ms, id) of batches, the newest first."""
        return await descending(self.redis, self.keys.batches(tenant_id), before, count)

    async def cancel(self, viewer: Viewer, batch_id: str) -> BatchCancelVerdict:
        """Cancel a batch."""
        verdict: bytes = await self.run(_CANCEL, viewer.tenant_id, batch_id, viewer.user_id, viewer.flag)
        return BatchCancelVerdict(verdict.decode())

    async def items(self, batch: Batch, first: int, count: int) -> list[ItemResult]:
        """Return items from the place `first` on, in their order, each with what became of it."""
        tenant_id, batch_id = batch.tenant_id, batch.batch_id
        places = range(first, min(first + count, batch.total))
        if not places:
            return []
        # The records are read after the results: an item that ends in between is seen as running still, never as lost.
        ends = [part for place in places for part in (place, f"{place}:result", f"{place}:error")]
        sent, ended, started, *records = await self.redis.gather(
            [
                ("HMGET", self.keys.batch_items(tenant_id, batch_id), *places),
                ("HMGET", self.keys.batch_results(tenant_id, batch_id), *ends),
                ("HMGET", self.keys.batch(tenant_id, batch_id), "started", "status"),
                *(
                    ("HMGET", self.keys.task(tenant_id, f"{batch_id}.{place}"), "status", "attempt", "started_at")
                    for place in places
                ),
            ],
            raise_on_error=False,
        )
        for reply in (sent, ended, started):
            if isinstance(reply, TenantDamaged):
                raise reply
        with reading("batch", batch_id):
            reached = int(started[0] or batch.total)
        stopped = started[1] != BatchStatus.RUNNING.encode()
        ended_each = zip(ended[::3], ended[1::3], ended[2::3], strict=True)
        return [
            self._item(batch, place, item, end, record, begun=place < reached, stopped=stopped)
            for place, item, end, record in zip(places, sent, ended_each, records, strict=True)
        ]

    def _item(
        self,
        batch: Batch,
        place: int,
        item: bytes | None,
        end: tuple[bytes | None, bytes | None, bytes | None],
        record: Any,
        *,
        begun: bool,
        stopped: bool,
    ) -> ItemResult:
        try:
            opened = self.contents.open(batch.tenant_id, ITEM_CONTENT, item) if item else None
            found = self._end(batch.tenant_id, *end)
        except TenantDamaged as damage:
            return damaged_item(batch.batch_id, place, damage)
        return read_item(batch.batch_id, place, opened, found, record, begun=begun, stopped=stopped)

    def _end(self, tenant_id: str, told: bytes | None, result: bytes | None, error: bytes | None) -> ItemEnd | None:
        """Return what became of an item; contents that are sealed stand beside what the script has written."""
        if told is None:
            return None
        return ItemEnd(
            told,
            self.contents.open(tenant_id, RESULT, result) if result else None,
            self.contents.open(tenant_id, ERROR, error) if error else None,
        )


def _inner(item: BatchItem) -> bytes:
    """Return an item as it stands in the payload of its task: JSON without its braces."""
    given = {"content": item.content} if item.input is None else {"input": item.input}
    named = {} if item.item_id is None else {"item_id": item.item_id}
    return orjson.dumps({**given, "metadata": item.metadata, **named})[1:-1]


def _flat(fields: Mapping[str, str | bytes | int]) -> Iterator[str | bytes | int]:
    return (part for pair in fields.items() for part in pair)


def sees(viewer: Viewer, batch: Batch) -> bool:
    """Tell whether a batch exists for `viewer`."""
    return viewer.sees_whole_tenant or batch.user_id == viewer.user_id
