"""The books of all tenants, for `doctor`: whether they balance, and mending what does not."""

from collections.abc import Iterable, Iterator

import trio
from attrs import frozen

from orchestrator.domain.tasks.consistency import REMEDIES
from orchestrator.models.operations.consistency import Violation
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.keys import Keys
from orchestrator.store.operations.consistency import ConsistencyStore
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants

_SHOWN = 20


@frozen
class Finding:
    """What is to be said of one tenant's books, or of one fault in them."""

    subject: str
    verdict: str
    """`ok`, `warning` (a person must look), `failed` (can be mended) or `mended`."""
    says: str


def audit_all(url: str, *, log_length: int, repair: bool) -> Iterator[Finding]:
    """Audit the books of every tenant, and mend them if `repair`.

    Args:
        url: of Redis.
        log_length: how many events a session's log keeps.
        repair: whether to mend what can be mended safely.

    Raises:
        StoreUnavailable: Redis can't be reached, or goes away.
    """
    for audit in trio.run(_audit_all, url, log_length, repair):
        yield from _findings(audit)


async def _audit_all(url: str, log_length: int, repair: bool) -> list[Report]:
    audits = []
    async with open_redis(url) as redis:
        keys = Keys()
        stores = (redis, keys, log_length)
        consistency_checker = ConsistencyChecker(
            ConsistencyStore(*stores), ReadyTenants(redis, keys), DueTenants(redis, keys)
        )
        # Services may use the gateway for tenants that never had a session.
        names = {*await TenantStates(*stores).names(), *await consistency_checker.reservations.tenants()}
        for tenant_id in sorted(names):
            audit = await consistency_checker.audit(tenant_id)
            audits.append(await consistency_checker.repair(audit) if repair else audit)
    return audits


def _findings(audit: Report) -> Iterator[Finding]:
    places = ", ".join(f"{count} {place.replace('_', ' ')}" for place, count in sorted(audit.places.items()))
    looked = f"{audit.tasks} tasks ({places or 'none'}), {audit.sessions} sessions, {audit.reservations} open calls"
    if audit.balances:
        yield Finding(f"books {audit.tenant_id}", "ok", looked)
        return
    for fault in audit.faults[:_SHOWN]:
        verdict, what = _verdict(fault)
        yield Finding(f"books {audit.tenant_id}", verdict, f"{fault.subject} {fault.says}{what}")
    if len(audit.faults) > _SHOWN:
        rest = audit.faults[_SHOWN:]
        yield Finding(f"books {audit.tenant_id}", _worst(rest), f"and {len(rest)} more; {looked}")


def _verdict(fault: Violation) -> tuple[str, str]:
    remedy = REMEDIES.get(fault.kind)
    if fault.mended:
        return "mended", f": {remedy}" if remedy else ""
    if remedy is None:
        return "warning", "; this is for a person to look at"
    return "failed", f"; --repair would {remedy}"


def _worst(faults: Iterable[Violation]) -> str:
    verdicts = {_verdict(fault)[0] for fault in faults}
    return next(verdict for verdict in ("failed", "warning", "mended") if verdict in verdicts)
