"""A look at a tenant, as the sweep takes it."""

import pytest

from orchestrator.errors import TenantDamaged
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.tasks.task import Lane
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.scheduling.tenant_survey import TenantSurveys
from tests.store.conftest import Stores
from tests.store.desk import BOUNDS, a_task, open_desk

HOUR_MS = 3_600_000


@pytest.fixture
def surveys(stores: Stores) -> TenantSurveys:
    return TenantSurveys(stores.redis, stores.keys, 1000)


async def test_a_tenant_without_anything_has_nothing_to_look_after(surveys: TenantSurveys) -> None:
    survey = await surveys.look("acme", used_within_ms=HOUR_MS)
    assert (survey.depth, survey.sessions, survey.due_ms, survey.draining) == (0, 0, [], False)
    assert await surveys.lag_seconds("acme", survey) == 0


async def test_work_moments_and_sessions_in_use_are_seen(surveys: TenantSurveys, redis_url: str) -> None:
    redis, keys = surveys.redis, surveys.keys
    await redis.zadd(keys.sessions("acme"), {"now": now_ms(), "long ago": now_ms() - 2 * HOUR_MS})
    await redis.zadd(keys.delayed("acme"), {"later": 2000, "soon": 1000})
    await redis.zadd(keys.schedules_due("acme"), {"daily": 3000})
    async with open_desk(redis_url) as desk:
        for _ in range(2):
            await desk.generic.admit(a_task(), lane=Lane.NORMAL, event=("x.y", b"{}"), bounds=BOUNDS)
    await TenantStates(redis, keys, 1000).change_state("acme", TenantState.DRAINING)
    survey = await surveys.look("acme", used_within_ms=HOUR_MS)
    assert (survey.sessions, survey.due_ms, survey.draining) == (1, [1000, 3000], True)
    assert survey.depth == 2


async def test_only_what_was_not_claimed_lags(surveys: TenantSurveys) -> None:
    redis, lane = surveys.redis, surveys.keys.lane("acme", Lane.HIGH)
    claimed = await redis.xadd(lane, {"task_id": "1"}, id=f"{now_ms() - HOUR_MS}-0")
    await redis.xadd(lane, {"task_id": "2"}, id=f"{now_ms() - 60_000}-0")
    survey = await surveys.look("acme", used_within_ms=HOUR_MS)
    assert await surveys.lag_seconds("acme", survey) == pytest.approx(3600, abs=30)
    await redis.hset(surveys.keys.cursors("acme"), Lane.HIGH, claimed)
    survey = await surveys.look("acme", used_within_ms=HOUR_MS)
    assert await surveys.lag_seconds("acme", survey) == pytest.approx(60, abs=30)


@pytest.mark.parametrize("key", ["sessions", "cursors", "delayed", "schedules_due", "tenant_config"])
async def test_a_damaged_key_is_told_and_not_overlooked(surveys: TenantSurveys, key: str) -> None:
    await surveys.redis.set(getattr(surveys.keys, key)("acme"), "damaged")
    with pytest.raises(TenantDamaged, match="WRONGTYPE"):
        await surveys.look("acme", used_within_ms=HOUR_MS)


async def test_counts_and_moments_that_are_none_are_passed_over(surveys: TenantSurveys) -> None:
    redis, keys = surveys.redis, surveys.keys
    await redis.hset(keys.users("acme"), "", b"\xff")
    await redis.hset(keys.turns_waiting("acme"), "", "many")
    await redis.hset(keys.batches_waiting("acme"), mapping={"b1": b"\x00", "b2": "2", "b3": "1e400"})
    await redis.zadd(keys.delayed("acme"), {b"\xff": float("-inf")})
    await redis.zadd(keys.schedules_due("acme"), {"never": float("inf")})
    survey = await surveys.look("acme", used_within_ms=HOUR_MS)
    assert survey.backlog >= 2
    assert survey.due_ms[0] < 0 < now_ms() < survey.due_ms[1]
