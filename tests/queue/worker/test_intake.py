"""The reader of what other programs have written, and of their rings."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from orchestrator.models.tasks.task import Lane
from tests.queue.stage import Stage, open_stage
from tests.support.eventually import eventually


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


async def test_a_ring_that_names_no_tenant_is_read_once(stage: Stage) -> None:
    redis = stage.redis
    with capture_logs() as logs:
        await redis.xadd(stage.keys.intake, {"tenant": "no tenant!"})
        await eventually("it is told", lambda: [one for one in logs if one["event"] == "input.unreadable"])
    await redis.execute_command("CONFIG", "RESETSTAT")
    for _ in range(100):
        await redis.ping()
    reads = (await redis.info("commandstats")).get("cmdstat_xread", {"calls": 0})
    assert reads["calls"] < 5
    await redis.xadd(stage.keys.intake, {"tenant": "newcomer"})
    await eventually("the next one is heard", lambda: redis.sismember(stage.keys.tenants, "newcomer"))


async def test_damage_of_the_rings_is_an_outage_of_their_reader(stage: Stage) -> None:
    redis, keys = stage.redis, stage.keys
    await redis.xadd(keys.intake, {"tenant": "acme"})
    await eventually("the tenant is watched", lambda: redis.sismember(keys.tenants, "acme"))
    await redis.delete(keys.intake)
    await redis.set(keys.intake, "no stream")
    await redis.xadd(keys.lane("acme", Lane.NORMAL), {"message": "wakes the reader"})
    told = await eventually("it is told", lambda: stage.queue.loops.outages.get("intake"))
    assert "WRONGTYPE" in str(told)
    await redis.delete(keys.intake)
    await eventually("it reads again", lambda: "intake" not in stage.queue.loops.outages)
