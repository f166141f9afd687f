"""A tenant's reservations in Redis: reading them for the audit, and mending them.

The open calls of the gateway, their records and the sums of the budgets are read by one script at one moment.
"""

import re
from typing import Final

from orchestrator.models.operations.consistency import ReservationStanding, Violation, ViolationKind, WrongSum
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_INSPECT: Final = Script("consistency/inspect_reservations")
_MEND: Final = Script("consistency/mend_reservation")
_MARK: Final = Script("scheduling/mark_due")
_PART: Final = 1000
_LEFT_MS: Final = 300_000
"""Processes hold what they look after for less."""
_GLOB: Final = re.compile(r"([*?\[\]\\])")
_MENDS: Final = {
    ViolationKind.CALL_UNRECORDED: "drop_call",
    ViolationKind.CALL_UNWATCHED: "watch_call",
    ViolationKind.WRONG_SUM: "sum",
}


class ReservationChecks(TenantStore):
    """Reads and mends what open calls of the gateway have reserved."""

    async def inspect(self, tenant_id: str) -> ReservationStanding:
        """Read all that there is of a tenant's reservations, at one moment."""
        found = await self._inspect(tenant_id, [])
        if not found.wrong:
            return found
        # Where sums are wrong, calls may be missing among the open ones: only a walk through all keys finds them.
        return await self._inspect(tenant_id, await self._recorded(tenant_id))

    async def _inspect(self, tenant_id: str, recorded: list[str]) -> ReservationStanding:
        keys = [self.keys.calls(tenant_id)]
        reservations, overdue_ms, unrecorded, unwatched, wrong = await self.run(
            _INSPECT, tenant_id, *recorded, keys=keys
        )
        return ReservationStanding(
            reservations=reservations,
            left_alone=overdue_ms > _LEFT_MS,
            unrecorded=[name.decode(errors="replace") for name in unrecorded],
            unwatched=[name.decode(errors="replace") for name in unwatched],
            wrong=[_wrong(*row) for row in wrong],
        )

    async def _recorded(self, tenant_id: str) -> list[str]:
        """Return every call of the tenant that has a record."""
        prefix, cursor = self.keys.call(tenant_id, ""), 0
        found = set[str]()
        while True:
            cursor, names = await self.redis.scan(cursor, match=_GLOB.sub(r"\\\1", prefix) + "*", count=_PART)
            found.update(name.decode(errors="replace").removeprefix(prefix) for name in names)
            if cursor == 0:
                return sorted(found)

    async def not_doubted(self, tenant_id: str) -> bool:
        """Tell whether the tenant has open calls, and no process would look whether one is in doubt."""
        first, looked = await self.redis.gather(
            [
                ("ZRANGE", self.keys.calls(tenant_id), 0, 0, "WITHSCORES"),
                ("ZSCORE", self.keys.doubts, tenant_id),
            ]
        )
        return bool(first) and (looked is None or looked > first[0][1] + _LEFT_MS)

    async def mend(self, tenant_id: str, fault: Violation) -> bool:
        """Mend a fault if it is still there; tells whether it was."""
        mended = fault.kind is ViolationKind.NOT_DOUBTED
        if fault.kind in _MENDS:
            of_sum = fault.kind is ViolationKind.WRONG_SUM
            subject, _, name = fault.subject.partition(" ") if of_sum else (fault.subject, "", "")
            args = (_MENDS[fault.kind], subject, name, fault.excess)
            mended = bool(await self.run(_MEND, tenant_id, *args, keys=[self.keys.calls(tenant_id)]))
        if mended and fault.kind is not ViolationKind.WRONG_SUM:
            await _MARK(self.redis, keys=[self.keys.doubts], args=[tenant_id, "", 0])
        return mended


def _wrong(period: bytes, field: bytes, held: int, added_up: int) -> WrongSum:
    return WrongSum(period.decode(errors="replace"), field.decode(errors="replace"), held, added_up)
