"""The ledger: what is settled adds up, whatever it is grouped by."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.gateway.budgets import Price
from orchestrator.errors import InvalidParameter
from orchestrator.models.common.ids import new_id
from orchestrator.models.gateway.gateway import GatewayCall
from orchestrator.models.gateway.usage import Payer, Spending, UsageGroup, UsageItem, UsageKind
from orchestrator.store.gateway.gateway_calls import GatewayCalls, Reserved
from orchestrator.store.gateway.usage import UsageLedger
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import open_redis

CALL = GatewayCall("x", "acme", UsageKind.GENERATE, {"query": "why?"}, estimate=20, payer=Payer("echo", "ann", "s-1"))


def spent(model: str = "large", prompt: int = 10, completion: int = 5) -> Spending:
    return Spending(model, prompt, completion, prompt + completion, cost_nano=100_000_000)


@frozen
class Books:
    calls: GatewayCalls
    ledger: UsageLedger

    async def spend(self, what: Spending, call: GatewayCall = CALL) -> bool:
        call = evolve(call, call_id=new_id())
        assert await self.calls.reserve(call) == Reserved()
        return await self.calls.settle(call, what)


@pytest.fixture
async def books(redis_url: str) -> AsyncIterator[Books]:
    async with open_redis(redis_url) as redis:
        stores = (redis, Keys(), 1000, LimitDefaults.of(AgentOrchestratorSettings()))
        yield Books(GatewayCalls(*stores, lease_ms=3000, give_up_ms=3_600_000), UsageLedger(*stores))


def today() -> date:
    return datetime.now(UTC).date()


async def test_spending_adds_up_by_model_agent_day_user_and_session(books: Books) -> None:
    await books.spend(spent())
    await books.spend(spent("odd|name:x"))
    await books.spend(spent(), evolve(CALL, payer=Payer()))
    await books.spend(Spending("small", 7, 0, 7), evolve(CALL, kind=UsageKind.EMBED, payer=Payer("echo", "bob", "s-2")))
    await books.ledger.count_hit("acme", UsageKind.EMBED, "small", Payer("echo", "bob", "s-2"), "")
    reports = {group: await books.ledger.read("acme", today(), today(), group) for group in UsageGroup}
    by_model = {item.key: item for item in reports[UsageGroup.MODEL].items}
    assert by_model["large"] == UsageItem("large", 2, 0, 20, 10, 30, 0, 0.2)
    assert by_model["small"] == UsageItem("small", 2, 1, 7, 0, 7, 0, 0.0)
    assert by_model["odd|name:x"].total_tokens == 15
    assert [item.key for item in reports[UsageGroup.AGENT].items] == ["", "echo"]
    assert [item.key for item in reports[UsageGroup.DAY].items] == [today().isoformat()]
    assert [(item.key, item.requests) for item in reports[UsageGroup.USER].items] == [("", 1), ("ann", 2), ("bob", 2)]
    assert [item.key for item in reports[UsageGroup.SESSION].items] == ["", "s-1", "s-2"]
    for report in reports.values():
        totals = report.totals
        assert (totals.requests, totals.cached, totals.total_tokens, totals.cost) == (5, 1, 52, 0.3)
        assert sum(item.total_tokens for item in report.items) == 52


async def test_a_call_is_counted_once(books: Books) -> None:
    assert await books.calls.reserve(CALL) == Reserved()
    assert await books.calls.settle(CALL, spent())
    assert not await books.calls.settle(CALL, spent())
    assert not await books.calls.release(CALL)
    assert (await books.ledger.read("acme", today(), today(), UsageGroup.DAY)).totals.requests == 1


async def test_a_call_that_was_named_by_its_caller_stays_counted_when_it_is_repeated(books: Books) -> None:
    call = evolve(CALL, named=True)
    assert await books.calls.reserve(call) == Reserved()
    assert await books.calls.reserve(call) == Reserved(joined=True)
    assert await books.calls.settle(call, spent())
    assert await books.calls.reserve(call) == Reserved(settled=True)
    assert not await books.calls.settle(call, spent())


async def test_a_call_that_is_given_up_is_kept_apart(books: Books) -> None:
    await books.calls.reserve(CALL)
    assert await books.calls.give_up(CALL)
    totals = (await books.ledger.read("acme", today(), today(), UsageGroup.USER)).totals
    assert (totals.requests, totals.total_tokens, totals.unsettled_tokens) == (1, 0, 20)


async def test_tiny_costs_are_not_rounded_away(books: Books) -> None:
    cheap = Price(Decimal("0.02"), Decimal(0)).nano(1, 0)
    for _ in range(5):
        await books.spend(Spending("small", 1, 0, 1, cheap))
    assert (await books.ledger.read("acme", today(), today(), UsageGroup.DAY)).totals.cost == 1e-7


async def test_concurrent_settlements_lose_nothing(books: Books) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(books.spend, spent())
    assert (await books.ledger.read("acme", today(), today(), UsageGroup.MODEL)).totals.total_tokens == 1500


async def test_tenants_do_not_share_a_ledger_and_days_expire(books: Books) -> None:
    await books.spend(spent())
    assert (await books.ledger.read("globex", today(), today(), UsageGroup.DAY)).items == []
    day = books.ledger.keys.usage("acme", f"{today():%Y%m%d}")
    assert 399 * 86_400 < await books.ledger.redis.ttl(day) <= 400 * 86_400
    assert 61 * 86_400 < await books.ledger.redis.ttl(f"{day}:users") <= 62 * 86_400


@pytest.mark.parametrize(("days", "group"), [(-1, UsageGroup.DAY), (400, UsageGroup.DAY), (62, UsageGroup.USER)])
async def test_a_range_must_be_one(books: Books, days: int, group: UsageGroup) -> None:
    with pytest.raises(InvalidParameter):
        await books.ledger.read("acme", today(), today() + timedelta(days=days), group)


async def test_a_user_is_told_of_what_is_spent_for_that_user_alone(books: Books) -> None:
    await books.spend(spent())
    await books.spend(Spending("small", 7, 0, 7), evolve(CALL, kind=UsageKind.EMBED, payer=Payer("echo", "bob", "s-2")))
    await books.ledger.count_hit("acme", UsageKind.EMBED, "small", Payer("echo", "ann", "s-1"), "")
    expected = {
        UsageGroup.MODEL: [("large", 15), ("small", 0)],
        UsageGroup.AGENT: [("echo", 15)],
        UsageGroup.DAY: [(today().isoformat(), 15)],
        UsageGroup.USER: [("ann", 15)],
    }
    for group, items in expected.items():
        report = await books.ledger.read("acme", today(), today(), group, only="ann")
        assert [(item.key, item.total_tokens) for item in report.items] == items
        assert (report.totals.requests, report.totals.cached, report.totals.total_tokens) == (2, 1, 15)
        assert (await books.ledger.read("acme", today(), today(), group, only="eve")).items == []


async def test_what_was_counted_without_the_users_models_is_told_without_a_model(books: Books) -> None:
    await books.spend(spent())
    keys, day = Keys(), f"{today():%Y%m%d}"
    await books.ledger.redis.delete(keys.user_usage("acme", day, "ann"))
    await books.spend(spent("small"))
    report = await books.ledger.read("acme", today(), today(), UsageGroup.MODEL, only="ann")
    assert [(item.key, item.requests) for item in report.items] == [("", 1), ("small", 1)]
    assert report.totals.total_tokens == 30


async def test_a_users_own_usage_is_told_for_as_long_as_it_is_kept(books: Books) -> None:
    with pytest.raises(InvalidParameter):
        await books.ledger.read("acme", today() - timedelta(days=62), today(), UsageGroup.MODEL, only="ann")
