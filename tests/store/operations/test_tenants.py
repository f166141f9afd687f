"""A tenant's state: read without changing anything, and changed without saying more than what it was."""

from typing import Any

import pytest

from orchestrator.models.operations.tenant import DrainMode, TenantState
from orchestrator.models.tasks.task import Lane
from orchestrator.store.operations.tenants import TenantStates, TenantStateVerdict
from tests.store.conftest import Stores
from tests.store.desk import BOUNDS, Desk, a_task, open_desk

OK, REFUSED = TenantStateVerdict.OK, TenantStateVerdict.REFUSED
ACTIVE, PAUSED, DRAINING = TenantState.ACTIVE, TenantState.PAUSED, TenantState.DRAINING


@pytest.fixture
def tenants(stores: Stores) -> TenantStates:
    return TenantStates(stores.redis, stores.keys, 1000)


async def everything(tenants: TenantStates) -> dict[bytes, Any]:
    """All that Redis keeps; a hash by its fields, since Redis may dump them in another order at any time."""
    names = sorted(await tenants.redis.keys("*"))
    kinds = await tenants.redis.gather([("TYPE", name) for name in names])
    commands = [("HGETALL" if kind == b"hash" else "DUMP", name) for name, kind in zip(names, kinds, strict=True)]
    return dict(zip(names, await tenants.redis.gather(commands), strict=True))


async def put_to_work(desk: Desk) -> None:
    for _ in range(2):
        await desk.generic.admit(a_task(), lane=Lane.NORMAL, event=("x.y", b"{}"), bounds=BOUNDS)


async def test_reading_a_tenant_changes_nothing(tenants: TenantStates, redis_url: str) -> None:
    async with open_desk(redis_url) as desk:
        await put_to_work(desk)
        for state in (ACTIVE, PAUSED, DRAINING):
            await tenants.change_state("acme", state)
            before = await everything(tenants)
            reading = await tenants.read("acme")
            assert (reading.tenant.state, reading.tenant.queued, reading.accepted_per_minute) == (state, 2, 2)
            await tenants.queue("acme")
            assert await everything(tenants) == before


async def test_a_tenant_without_anything_is_active(tenants: TenantStates) -> None:
    reading = await tenants.read("acme")
    assert (reading.tenant.state, reading.tenant.queued, reading.tenant.oldest_waiting) == (ACTIVE, 0, None)
    assert await everything(tenants) == {}


async def test_a_change_tells_what_the_state_was_and_may_be_made_twice(tenants: TenantStates) -> None:
    assert await tenants.change_state("acme", PAUSED) == (OK, ACTIVE)
    assert await tenants.change_state("acme", PAUSED) == (OK, PAUSED)
    assert await tenants.change_state("acme", ACTIVE) == (OK, PAUSED)
    assert (await tenants.read("acme")).tenant.state is ACTIVE


async def test_a_tenant_that_drains_or_is_drained_can_not_be_paused(tenants: TenantStates) -> None:
    assert await tenants.change_state("acme", DRAINING) == (OK, ACTIVE)
    assert await tenants.change_state("acme", PAUSED) == (REFUSED, DRAINING)
    assert await tenants.advance("acme", ()) is TenantState.DRAINED
    assert await tenants.change_state("acme", PAUSED) == (REFUSED, TenantState.DRAINED)
    assert await tenants.change_state("acme", DRAINING, drain=DrainMode.DISCARD) == (OK, TenantState.DRAINED)
    assert (await tenants.read("acme")).tenant.state is TenantState.DRAINED


async def test_a_drain_may_have_a_deadline_and_lose_it_again(tenants: TenantStates) -> None:
    await tenants.change_state("acme", DRAINING, deadline_ms=60_000)
    assert (await tenants.read("acme")).tenant.drain_deadline is not None
    await tenants.change_state("acme", DRAINING, drain=DrainMode.DISCARD)
    tenant = (await tenants.read("acme")).tenant
    assert (tenant.drain, tenant.drain_deadline) == (DrainMode.DISCARD, None)
