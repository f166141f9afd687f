"""Records of batches and of their items, as they are read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from attrs import evolve, frozen

from orchestrator.codec import decode_kept
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.batch import (
    Batch,
    BatchCallback,
    BatchOperation,
    BatchStatus,
    CallbackEvent,
    CallbackStatus,
    ItemResult,
    OnItemError,
)
from orchestrator.models.tasks.task import CancelledBy, TaskStatus
from orchestrator.store.records import reading

_log = structlog.get_logger(__name__)
_DELIVERY: Final = {
    "": CallbackStatus.WAITING,
    TaskStatus.COMPLETED: CallbackStatus.DELIVERED,
    TaskStatus.FAILED: CallbackStatus.FAILED,
    TaskStatus.CANCELLED: CallbackStatus.CANCELLED,
}
"""Where a callback stands, by the status of its task."""


@frozen
class ItemEnd:
    """What is kept of an item that has ended."""

    told: bytes
    """JSON."""
    result: bytes | None = None
    """JSON; None: `told` has it, if there is one."""
    error: bytes | None = None
    """The same."""


def read_batch(tenant_id: str, running: int, record: Mapping[bytes, bytes]) -> Batch:
    """Read what look_batch.lua says: how many items run, and the record; RecordDamaged."""
    with reading("batch", "of the tenant"):
        text = {key.decode(): value.decode() for key, value in record.items()}
        total, completed, failed, cancelled = (
            int(text[name]) for name in ("total", "completed", "failed", "cancelled")
        )
        if total < 1:
            raise ValueError("it has no items")
        return Batch(
            batch_id=text["batch_id"],
            tenant_id=tenant_id,
            user_id=text["user_id"],
            agent_id=text.get("agent_id"),
            status=BatchStatus(text["status"]),
            total=total,
            pending=total - completed - failed - cancelled - running,
            running=running,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            max_concurrency=int(text["max_concurrency"]),
            on_item_error=OnItemError(text["on_item_error"]),
            priority=int(text["priority"]),
            created_at=to_timestamp(int(text["created_at"])),
            correlation_id=text["correlation_id"],
            finished_at=to_timestamp(int(text["finished_at"])) if "finished_at" in text else None,
            callback=_read_callback(text) if "callback_url" in text else None,
            workflow_id=text.get("workflow_id"),
            scheduled_for=to_timestamp(int(text["scheduled_for"])) if "scheduled_for" in text else None,
            updated_at=to_timestamp(int(text["updated_at"])) if "updated_at" in text else None,
            operation=BatchOperation(text["operation"]) if "operation" in text else None,
            cancelled_by=CancelledBy(text["cancelled_by"]) if "cancelled_by" in text else None,
        )


def _read_callback(text: Mapping[str, str]) -> BatchCallback:
    status = _DELIVERY.get(text.get("callback:status", ""), CallbackStatus.DELIVERING)
    fault = text.get("callback:error", text.get("callback:retry_error"))
    claimed_at = text.get("callback:claimed_at")
    return BatchCallback(
        url=text["callback_url"],
        events=[CallbackEvent.COMPLETED],
        status=status,
        attempts=int(text.get("callback:attempt", 0)),
        last_attempt_at=to_timestamp(int(claimed_at)) if claimed_at else None,
        last_error=decode_kept(fault.encode(), ErrorBody) if fault and status is not CallbackStatus.DELIVERED else None,
    )


def read_item(
    batch_id: str,
    place: int,
    item: bytes | None,
    end: ItemEnd | None,
    record: Sequence[bytes | None] | TenantDamaged,
    *,
    begun: bool,
    stopped: bool,
) -> ItemResult:
    """Read an item and what became of it; one that can't be read is shown as failed, with the damage as its error."""
    try:
        result = _read_item(batch_id, place, item, end, record, begun=begun, stopped=stopped)
        return evolve(result, item_id=orjson.loads(b"{%b}" % item).get("item_id") if item else None)
    except TenantDamaged as damage:
        return damaged_item(batch_id, place, damage)


def damaged_item(batch_id: str, place: int, damage: TenantDamaged) -> ItemResult:
    """Return what is shown of an item that can't be read."""
    _log.error("record.damaged", error=damage.reason)
    return ItemResult(place, f"{batch_id}.{place}", TaskStatus.FAILED, {}, error=damage.body())


def _read_item(
    batch_id: str,
    place: int,
    item: bytes | None,
    end: ItemEnd | None,
    record: Sequence[bytes | None] | TenantDamaged,
    *,
    begun: bool,
    stopped: bool,
) -> ItemResult:
    with reading("item", f"{batch_id}.{place}"):
        metadata = orjson.loads(b"{%b}" % item)["metadata"] if item else {}
        task_id = f"{batch_id}.{place}"
        if end is not None:
            told: Mapping[str, Any] = orjson.loads(end.told)
            error = told["error"] if end.error is None else orjson.loads(end.error)
            return ItemResult(
                place,
                task_id,
                TaskStatus(told["status"]),
                metadata,
                told["attempt"],
                _moment(told["started_at"]),
                _moment(told["finished_at"]),
                told["result"] if end.result is None else orjson.loads(end.result),
                decode_kept(orjson.dumps(error), ErrorBody) if error else None,
            )
        if not begun:
            return ItemResult(place, None, TaskStatus.CANCELLED if stopped else TaskStatus.PENDING, metadata)
        if isinstance(record, TenantDamaged):
            raise record
        status, attempt, started_at = record
        if status is None:
            return ItemResult(place, task_id, TaskStatus.PENDING, metadata)
        return ItemResult(
            place, task_id, _unended(TaskStatus(status.decode())), metadata, int(attempt or 0), _moment(started_at)
        )


def _unended(status: TaskStatus) -> TaskStatus:
    """Return the status of an item without result: where it has ended since, it still runs for this page."""
    finished = {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.PARTIAL}
    return TaskStatus.PROCESSING if status in finished else status


def _moment(value: bytes | int | None) -> str | None:
    return None if value is None else to_timestamp(int(value))
