"""Schedules in Redis: kept, taken when they are due, and moved on by compare and set."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.schedule import MissedRuns, Schedule, SessionPolicy
from orchestrator.store.records import as_object, moment, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, descending, read_verdict

_PUT: Final = Script("scheduling/put_schedule")
_TAKE: Final = Script("scheduling/take_schedules")
_SETTLE: Final = Script("scheduling/settle_schedule")
_DELETE: Final = Script("scheduling/delete_schedule")

_LEASE_MS: Final = 60_000
"""So long may the run of a schedule take to be put into the queue; then another process does it."""
_AT_ONCE: Final = 100


class ScheduleCreateVerdict(StrEnum):
    """What `create` decided."""

    OK = "ok"
    REPLAYED = "replayed"
    """The same request has created it before."""
    REUSED = "reused"
    """Another request has created it."""
    FULL = "full"
    """The tenant has as many as it may have."""


class ScheduleChangeVerdict(StrEnum):
    """What `change` decided."""

    OK = "ok"
    UNKNOWN = "unknown"
    FULL = "full"
    """It would be more than the tenant's quota of bytes allows."""


@frozen
class DueSchedule:
    """A schedule whose moment has come."""

    schedule: Schedule
    moment_ms: int
    """What it is due for."""


@frozen
class TakenSchedules:
    """What one look at the schedules of a tenant has found."""

    now_ms: int
    """By Redis' clock."""
    due: Sequence[DueSchedule]
    following_ms: int | None
    """When to look again."""


class ScheduleStore(TenantStore):
    """The schedules of tenants."""

    async def create(
        self,
        tenant_id: str,
        schedule_id: str,
        fields: Mapping[str, str],
        *,
        next_ms: int | None,
        digest: str,
    ) -> tuple[ScheduleCreateVerdict, str]:
        """Create a schedule; returns also the quota that is reached (FULL)."""
        await self.note_tenant(tenant_id)
        reply = await self._put(tenant_id, schedule_id, fields, next_ms, new="1", digest=digest)
        return read_verdict(ScheduleCreateVerdict, reply)

    async def change(
        self, tenant_id: str, schedule_id: str, fields: Mapping[str, str], *, next_ms: int | None
    ) -> tuple[ScheduleChangeVerdict, str]:
        """Change a schedule; returns also the quota that is reached (FULL)."""
        reply = await self._put(tenant_id, schedule_id, fields, next_ms, new="0", digest="")
        return read_verdict(ScheduleChangeVerdict, reply)

    async def _put(
        self, tenant_id: str, schedule_id: str, fields: Mapping[str, str], next_ms: int | None, *, new: str, digest: str
    ) -> Sequence[Any]:
        pairs = self.contents.seal_fields(tenant_id, "schedule", fields)
        moment = "" if next_ms is None else next_ms
        defaults = (self.limit_defaults["schedules"], self.limit_defaults["bytes"])
        reply: Sequence[Any] = await self.run(_PUT, tenant_id, schedule_id, new, digest, moment, *defaults, *pairs)
        return reply

    async def get(self, tenant_id: str, schedule_id: str) -> Schedule | None:
        """Return a schedule; None if there is none."""
        record = await self.redis.hgetall(self.keys.schedule(tenant_id, schedule_id))
        return self._read(tenant_id, record) if record else None

    async def page(self, tenant_id: str, *, before: tuple[int, str] | None, count: int) -> list[tuple[int, str]]:
        """List the (moment of creation in ms, id) of schedules, the newest first."""
        return await descending(self.redis, self.keys.schedules(tenant_id), before, count)

    async def load(self, tenant_id: str, schedule_ids: Sequence[str]) -> list[Schedule]:
        """Return those schedules that are still there."""
        records = await self.redis.gather(
            [("HGETALL", self.keys.schedule(tenant_id, one)) for one in schedule_ids], raise_on_error=False
        )
        return readable(partial(self._read, tenant_id), records)

    def _read(self, tenant_id: str, record: Mapping[bytes, bytes]) -> Schedule:
        return read_schedule(tenant_id, self.contents.open_record(tenant_id, "schedule", record))

    async def delete(self, tenant_id: str, schedule_id: str) -> bool:
        """Delete a schedule; false if there was none."""
        return bool(await self.run(_DELETE, tenant_id, schedule_id))

    async def take(self, tenant_id: str) -> TakenSchedules:
        """Take the schedules that are due; for a while no other process takes the same ones."""
        now, following, *rows = await self.run(_TAKE, tenant_id, _AT_ONCE, _LEASE_MS)
        return TakenSchedules(
            now, readable(partial(self._read_due, tenant_id), rows), moment(following) if following else None
        )

    async def settle(
        self, tenant_id: str, schedule_id: str, moment_ms: int, following_ms: int | None, fields: Mapping[str, object]
    ) -> bool:
        """Move a schedule on that has run for `moment_ms`; false if it no longer stands there."""
        pairs = (part for pair in fields.items() for part in pair)
        following = "" if following_ms is None else following_ms
        return bool(await self.run(_SETTLE, tenant_id, schedule_id, moment_ms, following, *pairs))

    def _read_due(self, tenant_id: str, row: list[bytes]) -> DueSchedule:
        record = self.contents.open_pairs(tenant_id, "schedule", row)
        schedule = read_schedule(tenant_id, record)
        with reading("schedule", schedule.schedule_id):
            return DueSchedule(schedule, int(record[b"next_at"]))


def read_schedule(tenant_id: str, record: Mapping[bytes, bytes]) -> Schedule:
    """Read a schedule's hash.

    Raises:
        RecordDamaged
    """
    with reading("schedule", record.get(b"schedule_id", b"").decode(errors="replace")):
        text = {key.decode(): value.decode() for key, value in record.items()}

        def moment(name: str) -> str | None:
            return to_timestamp(int(text[name])) if name in text else None

        metadata = as_object(orjson.loads(text["metadata"])) if "metadata" in text else None
        return Schedule(
            schedule_id=text["schedule_id"],
            tenant_id=tenant_id,
            user_id=text["user_id"],
            cron=text["cron"],
            agent_id=text["agent_id"],
            content=text["content"],
            timezone=text["timezone"],
            session=SessionPolicy(text["session"]),
            missed=MissedRuns(text["missed"]),
            enabled=text["enabled"] == "1",
            created_at=to_timestamp(int(text["created_at"])),
            updated_at=to_timestamp(int(text["updated_at"])),
            next_at=moment("next_at"),
            last_run_at=moment("last_run_at"),
            last_task_id=text.get("last_task_id"),
            last_error=text.get("last_error"),
            session_id=text.get("session_id"),
            metadata=metadata,
        )
