"""Pausing, draining and resuming a tenant."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.codec import unstructure
from orchestrator.config.tenant_limits import SpendingLimits, Tier
from orchestrator.errors import NotFound, TenantDraining
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.services.operations.tenants import TenantService
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.tenants import TenantStates
from tests.queue.operations import own
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.audited import audited


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


@pytest.fixture
def tenants(stage: Stage) -> TenantService:
    store = TenantStates(stage.redis, stage.keys, SETTINGS.event_log_length)
    return TenantService(
        store, stage.queue.ready, AuditTrail(stage.redis, stage.keys), KNOWN_KINDS, stage.stores.quotas
    )


async def test_a_paused_tenant_takes_work_in_and_starts_nothing_until_it_is_resumed(
    stage: Stage, tenants: TenantService
) -> None:
    session, other = await stage.session(), await stage.session(context("globex"))
    await tenants.change(context(), "acme", TenantState.PAUSED)
    accepted = await stage.say(session, "say a")
    await stage.ended(other, await stage.say(other, "say b"))
    assert await stage.status(session, accepted) is TaskStatus.PENDING
    assert (await tenants.get("acme")).queued == 1
    await tenants.change(context(), "acme", TenantState.ACTIVE)
    assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED


async def test_a_draining_tenant_refuses_work_finishes_what_it_has_and_is_drained(
    stage: Stage, tenants: TenantService
) -> None:
    session = await stage.session()
    running = await stage.say(session, "hold a")
    waiting = await stage.say(session, "say b")
    await stage.turns.running.wait()
    assert (await tenants.change(context(), "acme", TenantState.DRAINING)).state is TenantState.DRAINING
    with pytest.raises(TenantDraining):
        await stage.say(session, "say c")
    with pytest.raises(TenantDraining):
        await stage.session()
    stage.turns.release.set()
    await stage.ended(session, running)
    await stage.ended(session, waiting)
    drained = await tenants.get("acme")
    assert (drained.state, drained.queued, drained.in_hand, drained.delayed) == (TenantState.DRAINED, 0, 0, 0)
    await tenants.change(context(), "acme", TenantState.ACTIVE)
    assert (await stage.ended(session, await stage.say(session, "say d"))).status is TaskStatus.COMPLETED


async def test_a_change_is_audited(stage: Stage, tenants: TenantService) -> None:
    await stage.session()
    await tenants.change(context(), "acme", TenantState.PAUSED)
    entry = (await audited(stage.redis, "tenant."))[0]
    assert (entry.action, entry.tenant_id, entry.user_id) == ("tenant.paused", "acme", "ann")


async def test_what_a_tenant_may_spend_is_configured_shown_audited_and_taken_back(
    stage: Stage, tenants: TenantService
) -> None:
    await stage.session()
    models = {"large": SpendingLimits(tokens_day=500), "a:b": SpendingLimits(requests_minute=2.5)}
    settings = own(tier="free", tokens_day=1000, requests_minute=60, models=unstructure(models))
    shown = await tenants.configure(context(), "acme", settings)
    assert (shown.tier, shown.spending, shown.models) == (Tier.FREE, SpendingLimits(1000, None, 60.0), models)
    entry = (await audited(stage.redis, "tenant."))[0]
    assert "tier=free" in entry.detail
    assert "model:tokens_day:large=500" in entry.detail
    changes = own(tier=None, tokens_day=None, models={"large": None, "a:b": {"tokens_month": 9}})
    shown = await tenants.configure(context(), "acme", changes)
    assert (shown.tier, shown.spending) == (None, SpendingLimits(requests_minute=60.0))
    assert shown.models == {"a:b": SpendingLimits(tokens_month=9)}


async def test_an_unknown_tenant_is_not_found(tenants: TenantService) -> None:
    with pytest.raises(NotFound):
        await tenants.get("nobody")


async def test_what_is_left_out_of_a_change_stays_and_null_removes(stage: Stage, tenants: TenantService) -> None:
    await stage.session()
    await tenants.configure(context(), "acme", own(weight=4.0, tier="free", concurrency=2, rate=50.0, fair_users=True))
    shown = await tenants.configure(context(), "acme", own())
    assert (shown.weight, shown.tier, shown.limits.concurrency, shown.limits.rate) == (4.0, Tier.FREE, 2, 50.0)
    entry = (await audited(stage.redis, "tenant."))[0]
    assert entry.detail == "nothing changed"
    shown = await tenants.configure(context(), "acme", own(tier=None, concurrency=None, fair_users=False))
    assert (shown.weight, shown.tier, shown.limits.concurrency, shown.limits.rate) == (4.0, None, None, 50.0)
    assert not shown.fair_users
