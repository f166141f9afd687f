"""Consistency checks of all tenants, and their repair, for `doctor`."""

from collections.abc import Iterable, Iterator

import trio
from attrs import frozen

from cli.core.confirm import counted
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.consistency import REMEDIES
from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.models.operations.consistency import TenantCheck, Violation, ViolationKind
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.contents import Contents
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.sealing import SealingStore
from orchestrator.store.stores import Stores

_SHOWN = 20


@frozen
class Finding:
    """The result for a consistent tenant, or one violation of another."""

    subject: str
    verdict: str
    """`ok`, `warning` (needs an operator), `failed` (can be repaired, or can't even be read) or `mended`."""
    says: str


def check_tenants(
    url: str, settings: AgentOrchestratorSettings, *, repair: bool, only: str | None = None
) -> Iterator[Finding]:
    """Check the consistency of tenants, and repair it on request.

    Args:
        url: the URL of Redis.
        settings: those of the service.
        repair: whether to repair the violations that can be repaired safely.
        only: the tenant; None: all of them.

    Raises:
        StoreUnavailable: Redis can't be reached.
    """
    yield from trio.run(_check_tenants, url, settings, repair, only)


def check_contents(url: str, settings: AgentOrchestratorSettings, *, repair: bool) -> Finding:
    """Say how many contents are under which key, and put them under the first one on request.

    Args:
        url: the URL of Redis.
        settings: those of the service, with its ring of keys.
        repair: whether to encrypt again what is under another key, or in clear.

    Raises:
        StoreUnavailable: Redis can't be reached.
    """
    return trio.run(_check_contents, url, settings, repair)


async def _check_contents(url: str, settings: AgentOrchestratorSettings, repair: bool) -> Finding:
    contents = Contents.under(settings.encryption_keys)
    async with open_redis(url) as redis:
        found = await SealingStore(redis, contents).survey(reseal=repair)
    counts = ", ".join(
        f"{count} {'in clear' if key is None else f'under {key}'}"
        for key, count in sorted(found.by_key.items(), key=lambda row: row[0] or "")
        if count
    )
    says = counts or "none"
    if found.unreadable:
        return Finding(
            "contents", "failed", f"{says}; {found.unreadable} can't be read: their keys are not in the ring"
        )
    others = sum(count for key, count in found.by_key.items() if key != contents.key_id)
    if found.in_streams:
        says += f"; {found.in_streams} of these in queues, where they go as these are worked off"
    if found.resealed:
        return Finding("contents", "mended", f"{says}; {found.resealed} were encrypted again")
    if others > found.in_streams:
        return Finding("contents", "warning", f"{says}; --repair would encrypt the others again")
    return Finding("contents", "ok", says)


async def _check_tenants(
    url: str, settings: AgentOrchestratorSettings, repair: bool, only: str | None
) -> list[Finding]:
    found: list[Finding] = []
    async with open_redis(url) as redis:
        stores = Stores.over(redis, settings)
        checker = ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)
        known = await stores.consistency.all_tenants()
        if only is not None and only not in known:
            return [no_tenant(only)]
        for tenant_id in sorted(known) if only is None else [only]:
            found += await _check_tenant(stores, checker, tenant_id, repair)
    return found


async def _check_tenant(stores: Stores, checker: ConsistencyChecker, tenant_id: str, repair: bool) -> list[Finding]:
    subject = f"books {tenant_id}"
    found: list[Finding] = []
    try:
        report = await checker.audit(tenant_id)
        if repair:
            report = await checker.repair(report)
            if any(fault.kind is ViolationKind.KEY_DAMAGED for fault in report.faults):
                # What needs those keys can be looked at now.
                found += findings(report)
                report = await checker.repair(await checker.audit(tenant_id))
        found += findings(report)
        if all(fault.mended or fault.kind is not ViolationKind.KEY_DAMAGED for fault in report.faults):
            await stores.tenants.read(tenant_id)
    except TenantDamaged as damage:
        found.append(Finding(subject, "failed", f"can't be read: {damage}"))
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of one tenant: told, and the others are looked at
        found.append(Finding(subject, "failed", f"can't be checked: {type(error).__name__}: {error}"))
    return found


def no_tenant(tenant_id: str) -> Finding:
    """Return what is said of a tenant that there is not."""
    return Finding(f"books {tenant_id}", "failed", "there is no such tenant")


def findings(report: Report | TenantCheck) -> Iterator[Finding]:
    """Return what a check of a tenant says."""
    places = ", ".join(f"{count} {str(place).replace('_', ' ')}" for place, count in sorted(report.places.items()))
    where = f" ({places})" if places else ""
    numbers = ((report.tasks, "task", where), (report.sessions, "session", ""), (report.reservations, "open call", ""))
    counts = ", ".join(counted(number, noun) + more for number, noun, more in numbers)
    if report.balances:
        yield Finding(f"books {report.tenant_id}", "ok", counts)
        return
    for violation in report.faults[:_SHOWN]:
        verdict, what = _verdict(violation)
        yield Finding(f"books {report.tenant_id}", verdict, f"{violation.subject} {violation.says}{what}")
    if len(report.faults) > _SHOWN:
        rest = report.faults[_SHOWN:]
        yield Finding(f"books {report.tenant_id}", _worst(rest), f"and {len(rest)} more; {counts}")


def _verdict(violation: Violation) -> tuple[str, str]:
    remedy = REMEDIES.get(violation.kind)
    if violation.mended:
        return "mended", f": {remedy}" if remedy else ""
    if remedy is None:
        return "warning", "; needs an operator"
    return "failed", f"; --repair would {remedy}"


def _worst(faults: Iterable[Violation]) -> str:
    verdicts = {_verdict(violation)[0] for violation in faults}
    return next(verdict for verdict in ("failed", "warning", "mended") if verdict in verdicts)
