"""The audit: whether a tenant's books balance, and mending what can be mended safely."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Final

import trio
from attrs import evolve, field, frozen

from orchestrator.codec import encode
from orchestrator.domain.tasks.consistency import (
    REMEDIES,
    judge_entry,
    judge_reservations,
    judge_session,
    judge_task,
    place_of,
)
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import new_id
from orchestrator.models.operations.consistency import Place, Violation, ViolationKind
from orchestrator.models.sessions.session import SessionState
from orchestrator.services.shared.views import state_body
from orchestrator.store.consistency.consistency import ConsistencyStore
from orchestrator.store.gateway.reservation_checks import ReservationChecks
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants

_FIRST: Final = frozenset({ViolationKind.NOT_ACTIVE, ViolationKind.CALL_UNWATCHED})
_RESERVED: Final = frozenset(
    {ViolationKind.CALL_UNRECORDED, ViolationKind.CALL_UNWATCHED, ViolationKind.WRONG_SUM, ViolationKind.NOT_DOUBTED}
)
_MISPLACED: Final = frozenset({ViolationKind.LOST, ViolationKind.TWICE, ViolationKind.LEFT_IN_TURNS})
"""To mend these counts anew."""
_ROUNDS: Final = 4
_LOOKS: Final = 10
_BETWEEN: Final = 0.08
"""A busy tenant is often out of the sets that wake its schedulers, while one of them serves it: two looks (so many
seconds apart) may both meet it so, but not all of ten."""


@frozen
class Report:
    """What an audit of a tenant has found."""

    tenant_id: str
    tasks: int = 0
    """Tasks that were looked at."""
    sessions: int = 0
    reservations: int = 0
    """Of the gateway."""
    places: dict[Place, int] = field(factory=dict)
    """How many tasks are in each place; a task with a fault may be in none."""
    faults: list[Violation] = field(factory=list)

    @property
    def balances(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


@frozen
class ConsistencyChecker:
    """Audits the books of tenants.

    Args:
        store: reads and mends them.
        reservations: reads and mends those of the gateway.
        ready: wakes schedulers for work whose wake-up was lost.
        due: sets timers that are missing.
        pause_after_ms: idle time until a session is paused.
    """

    store: ConsistencyStore
    reservations: ReservationChecks
    ready: ReadyTenants
    due: DueTenants
    pause_after_ms: int = 600_000

    async def audit(self, tenant_id: str) -> Report:
        """Look whether every accepted task is in exactly one place, and whether the rest agrees with that."""
        records = await self.store.records(tenant_id)
        if records.wrong:
            # Nothing that needs them can be looked at before they are mended.
            return Report(tenant_id, faults=records.wrong)
        dead, seen = await self.store.dead(tenant_id), set[str]()
        places: Counter[Place] = Counter()
        faults = await self.store.wrong_config(tenant_id)
        sessions = 0

        async def look_at(task_ids: Iterable[str]) -> None:
            fresh = [task_id for task_id in dict.fromkeys(task_ids) if task_id not in seen]
            seen.update(fresh)
            if not fresh:
                return
            tasks, unread = await self.store.inspect_tasks(tenant_id, fresh)
            unread += await self.store.unreadable(tenant_id, ViolationKind.TASK_DAMAGED, fresh)
            damaged = {fault.subject: fault for fault in unread}
            for task in tasks:
                if task.task_id not in damaged:
                    faults.extend(judge_task(task))
                if (place := place_of(task, dead=task.task_id in dead)) is not None:
                    places[place] += 1
            # What expires has ended, or was told among the dead letters.
            faults.extend(damaged[task_id] for task_id in await self.store.lasting(tenant_id, list(damaged)))

        faults += await self.store.strangers(tenant_id, records)
        faults += await self.store.unshared(tenant_id, records)
        faults += await self.store.derived(tenant_id, records)
        async for entries in self.store.entries(tenant_id):
            faults += [fault for entry in entries for fault in judge_entry(entry)]
            await look_at(entry.task_id for entry in entries if entry.status is not None)
        async with aclosing(self.store.listed(tenant_id, ViolationKind.SESSION_DAMAGED)) as listed:
            async for names in listed:
                part, unread = await self.store.inspect_sessions(tenant_id, names)
                unread += await self.store.unreadable(tenant_id, ViolationKind.SESSION_DAMAGED, names)
                damaged = {fault.subject: fault for fault in unread}
                faults += damaged.values()
                sessions += len(names)
                for session in part:
                    if session.session_id not in damaged:
                        faults += judge_session(session)
                    if session.turns:
                        await look_at(await self.store.turns(tenant_id, session.session_id))
        for kind in (ViolationKind.BATCH_DAMAGED, ViolationKind.SCHEDULE_DAMAGED):
            async with aclosing(self.store.listed(tenant_id, kind)) as listed:
                async for names in listed:
                    faults += await self.store.unreadable(tenant_id, kind, names)
        async for task_ids in self.store.task_ids(tenant_id):
            await look_at(task_ids)
        faults = _told_once(faults)
        reserved = await self._reserved(tenant_id, faults)
        faults += [fault async for fault in self._clockwork(tenant_id)]
        return Report(tenant_id, len(seen), sessions, reserved, dict(places), faults)

    async def _reserved(self, tenant_id: str, faults: list[Violation]) -> int:
        """Look at the reservations of the gateway; returns how many there are."""
        try:
            reserved = await self.reservations.inspect(tenant_id)
        except TenantDamaged as damage:
            says = f"has reservations of the gateway that can't be read: {damage.reason}"
            faults.append(Violation(ViolationKind.UNREADABLE, tenant_id, says))
            return 0
        faults += judge_reservations(tenant_id, reserved)
        return reserved.reservations

    async def repair(self, audit: Report) -> Report:
        """Mend what an audit has found, as far as that is safe; faults that were mended say so."""
        # A session may seem to wait for nothing because it has lost its active task, and a sum may lack a call that is
        # not among the open ones: those come first.
        mended: list[Violation] = []
        left = audit
        for _ in range(_ROUNDS):
            # Ids say in which order things were made: what goes back into a list goes back in that order.
            ordered = sorted(left.faults, key=lambda fault: (fault.kind not in _FIRST, fault.subject))
            tried = [await self._try_to_mend(audit.tenant_id, fault) for fault in ordered]
            done = [fault for fault in tried if fault.mended]
            if not done:
                return evolve(left, faults=[*mended, *tried])
            mended += done
            # To mend one thing may show another, or put it right as well.
            left = await self.audit(audit.tenant_id)
            if left.balances:
                break
        return evolve(left, faults=[*mended, *left.faults])

    async def _try_to_mend(self, tenant_id: str, fault: Violation) -> Violation:
        """Mend a fault; one that stands beside something damaged stays as it is."""
        try:
            return await self._mend(tenant_id, fault)
        except TenantDamaged as damage:
            return evolve(fault, says=f"{fault.says}, and can't be mended: {damage.reason}")

    async def _clockwork(self, tenant_id: str) -> AsyncIterator[Violation]:
        if await _lasts(lambda: self.store.not_woken(tenant_id)):
            yield Violation(
                ViolationKind.NOT_WOKEN, tenant_id, "has work in its lanes, but is not among the ready tenants"
            )
        if await _lasts(lambda: self.store.not_timed(tenant_id)):
            yield Violation(ViolationKind.NOT_TIMED, tenant_id, "has delayed tasks, but no timer is set for the next")
        if await _lasts(lambda: self.reservations.not_doubted(tenant_id)):
            yield Violation(
                ViolationKind.NOT_DOUBTED, tenant_id, "has open calls of the gateway that no process looks after"
            )

    async def _dead_letter(self, tenant_id: str, fault: Violation) -> bool:
        correlation_id = new_id()
        error = TenantDamaged(fault.says, details=[FieldFault("$", fault.says)]).body(correlation_id)
        await self.store.dead_letter_task(
            tenant_id,
            fault.subject,
            error=encode(error),
            correlation_id=correlation_id,
            state_body=state_body(tenant_id, "@session", SessionState.ERROR, correlation_id),
        )
        await self.ready.mark(tenant_id)
        return True

    async def _mend(self, tenant_id: str, fault: Violation) -> Violation:
        if fault.kind not in REMEDIES:
            return fault
        if fault.kind is ViolationKind.TASK_DAMAGED:
            return evolve(fault, mended=await self._dead_letter(tenant_id, fault))
        if fault.kind in _RESERVED:
            return evolve(fault, mended=await self.reservations.mend(tenant_id, fault))
        if fault.kind is ViolationKind.NOT_WOKEN:
            mended = True
        elif fault.kind is ViolationKind.NOT_TIMED:
            await self.due.mark_in(tenant_id, 0)
            mended = True
        else:
            correlation_id = new_id()
            mended = await self.store.mend(
                tenant_id,
                fault,
                correlation_id=correlation_id,
                state_body=state_body(tenant_id, fault.subject, SessionState.ACTIVE, correlation_id),
                pause_after_ms=self.pause_after_ms,
            )
        await self.ready.mark(tenant_id)
        return evolve(fault, mended=mended)


def _told_once(faults: Iterable[Violation]) -> list[Violation]:
    """Leave out what two looks have found, and counts that are wrong because tasks are not where they should be."""
    found = list({(fault.kind, fault.subject): fault for fault in faults}.values())
    if any(fault.kind in _MISPLACED for fault in found):
        return [fault for fault in found if fault.kind is not ViolationKind.WRONG_COUNT]
    return found


async def _lasts(look: Callable[[], Awaitable[bool]]) -> bool:
    """Tell whether something is so, and stays so for a moment."""
    for _ in range(_LOOKS - 1):
        if not await look():
            return False
        await trio.sleep(_BETWEEN)
    return await look()
