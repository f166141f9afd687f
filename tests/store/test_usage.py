"""The ledger: what is recorded adds up, whatever it is grouped by."""

from datetime import UTC, date, datetime

import pytest
import trio

from orchestrator.errors import InvalidParameter
from orchestrator.models.usage import Spending, UsageGroup, UsageItem, UsageKind
from orchestrator.store.connection import open_redis
from orchestrator.store.keys import Keys
from orchestrator.store.usage import UsageLedger

DAY = date(2026, 3, 1)
NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
A_DAY = 86_400_000


def spent(model: str = "large", agent_id: str = "echo", prompt: int = 10, completion: int = 5) -> Spending:
    return Spending(UsageKind.GENERATE, model, agent_id, prompt, completion, prompt + completion, cost=0.1)


async def test_spending_adds_up_by_model_agent_and_day(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        ledger = UsageLedger(redis, Keys())
        records = [
            (spent(), NOON),
            (spent("odd|name:x", "echo"), NOON),
            (spent(agent_id=""), NOON + A_DAY),
            (Spending(UsageKind.EMBED, "small", "echo", 7, 0, 7), NOON + A_DAY),
        ]
        for number, (one, moment) in enumerate(records):
            assert await ledger.record("acme", one, settlement=f"call-{number}", moment_ms=moment)
        last = date(2026, 3, 2)
        reports = {group: await ledger.read("acme", DAY, last, group) for group in UsageGroup}
    by_model = {item.key: item for item in reports[UsageGroup.MODEL].items}
    assert by_model["large"] == UsageItem("large", 2, 20, 10, 30, 0.2)
    assert by_model["odd|name:x"].total_tokens == 15
    assert [item.key for item in reports[UsageGroup.AGENT].items] == ["", "echo"]
    assert [(item.key, item.requests) for item in reports[UsageGroup.DAY].items] == [
        ("2026-03-01", 2),
        ("2026-03-02", 2),
    ]
    for report in reports.values():
        assert (report.totals.requests, report.totals.total_tokens, report.totals.cost) == (4, 52, 0.3)
        assert sum(item.total_tokens for item in report.items) == 52


async def test_a_settlement_counts_once(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        ledger = UsageLedger(redis, Keys())
        assert await ledger.record("acme", spent(), settlement="call-1", moment_ms=NOON)
        assert not await ledger.record("acme", spent(), settlement="call-1", moment_ms=NOON)
        assert (await ledger.read("acme", DAY, DAY, UsageGroup.DAY)).totals.requests == 1


async def test_many_at_once_lose_nothing(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        ledger = UsageLedger(redis, Keys())

        async def spend(number: int) -> None:
            await ledger.record("acme", spent(), settlement=f"call-{number}", moment_ms=NOON)

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(spend, number)
        assert (await ledger.read("acme", DAY, DAY, UsageGroup.MODEL)).totals.total_tokens == 1500


async def test_tenants_do_not_share_a_ledger_and_days_expire(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        ledger = UsageLedger(redis, Keys())
        await ledger.record("acme", spent(), settlement="call-1", moment_ms=NOON)
        assert (await ledger.read("globex", DAY, DAY, UsageGroup.MODEL)).items == []
        assert 399 * 86_400 < await redis.ttl(Keys().usage("acme", "20260301")) <= 400 * 86_400


@pytest.mark.parametrize("last", [date(2026, 2, 28), date(2027, 6, 1)])
async def test_a_range_must_be_one(redis_url: str, last: date) -> None:
    async with open_redis(redis_url) as redis:
        with pytest.raises(InvalidParameter):
            await UsageLedger(redis, Keys()).read("acme", DAY, last, UsageGroup.DAY)
