"""The items of batches that are no tasks yet, as the tasks that `lib/tasks/batches.lua` would make of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Self

import orjson
from attrs import frozen

from orchestrator.models.operations.transfer import TransferItem, TransferKind
from orchestrator.models.tasks.batch import ITEMS_MAX, BatchStatus
from orchestrator.store.contents import ITEM, ITEM_PLACE, TASK_PLACE
from orchestrator.store.records import readable, reading
from orchestrator.store.tenant_store import TenantStore

_ITEMS_AT_ONCE: Final = 16
_BATCHES: Final = 100
_COPIED: Final = ("lane", "priority", "type", "user_id", "correlation_id", "created_at")
"""What the record of a task has of its batch."""


@frozen
class _Template:
    """What the items of a batch have in common."""

    batch_id: str
    started: int
    total: int
    head: bytes
    tail: bytes
    fields: Mapping[str, str]
    due_ms: int | None

    @classmethod
    def of(cls, batch_id: str, record: Mapping[bytes, bytes]) -> Self:
        """Read the record of a batch; TenantDamaged."""
        with reading("batch", batch_id):
            runs = record[b"status"] == BatchStatus.RUNNING.encode()
            # The template of a sealed batch is in one piece.
            head, _, tail = record[b"head"].partition(ITEM_PLACE)
            flat = orjson.loads(record.get(b"item_record", b"[]"))
            return cls(
                batch_id,
                int(record[b"started"]) if runs else 0,
                # However damaged it is, no batch has more.
                min(int(record[b"total"]), ITEMS_MAX) if runs else 0,
                head,
                tail or record[b"tail"],
                {
                    **{name: record[name.encode()].decode() for name in _COPIED},
                    **dict(zip(flat[::2], flat[1::2], strict=True)),
                },
                int(record[b"scheduled_for"]) if b"scheduled_for" in record else None,
            )

    def task(self, place: int, item: bytes) -> TransferItem:
        """Return the task that an item becomes; TenantDamaged."""
        task_id = f"{self.batch_id}.{place}"
        with reading("item", task_id):
            message = (self.head.replace(TASK_PLACE, task_id.encode()) + item + self.tail).decode()
        fields = {"task_id": task_id, "message": message, "status": "pending", "attempt": "0", **self.fields}
        return TransferItem(TransferKind.TASK, task_id, fields, self.due_ms)


class WaitingItems(TenantStore):
    """The items of a tenant's open batches, batch by batch in the order of their ids."""

    async def chunk(
        self, tenant_id: str, start: tuple[int, int], count: int, size: int
    ) -> tuple[list[TransferItem], tuple[int, int] | None]:
        """Read on from a position.

        Args:
            tenant_id: whose batches.
            start: in which batch, and at which of its places.
            count: how many items at most.
            size: the bytes with which it is enough.

        Returns:
            Items, and where to go on, or None at the end.
        """
        names = sorted(
            name.decode(errors="replace") for name in await self.redis.hkeys(self.keys.batches_waiting(tenant_id))
        )
        (number, place), items, left = start, list[TransferItem](), size
        for batch_id in names[number : number + _BATCHES]:
            template = await self._template(tenant_id, batch_id)
            place = max(place, template.started) if template else 0
            while template is not None and place < template.total:
                if len(items) >= count or left <= 0:
                    return items, (number, place)
                places = range(place, min(place + _ITEMS_AT_ONCE, place + count - len(items), template.total))
                found = await self._items(tenant_id, template, places)
                left -= sum(len(item.fields["message"]) for item in found)
                items += found
                place = places.stop
            number, place = number + 1, 0
        return items, (number, 0) if number < len(names) else None

    async def _template(self, tenant_id: str, batch_id: str) -> _Template | None:
        """Return what the items of a batch have in common; None: it can't be read, or is gone."""

        def read(reply: Mapping[bytes, bytes]) -> _Template:
            return _Template.of(batch_id, self.contents.open_record(tenant_id, "batch", reply))

        command = ("HGETALL", self.keys.batch(tenant_id, batch_id))
        return next(iter(readable(read, await self.redis.gather([command], raise_on_error=False))), None)

    async def _items(self, tenant_id: str, template: _Template, places: Sequence[int]) -> list[TransferItem]:
        """Read items; one that can't be read is left out, and logged."""

        def read(place: int, item: bytes) -> TransferItem:
            return template.task(place, self.contents.open(tenant_id, ITEM, item))

        values = await self.redis.hmget(self.keys.batch_items(tenant_id, template.batch_id), list(places))
        there = [partial(read, place, item) for place, item in zip(places, values, strict=True) if item is not None]
        return readable(lambda reading_one: reading_one(), there)
