"""Reservations and settlements at random, beside a model: budgets hold, and nothing is lost or counted twice."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import pytest
from attrs import define, field

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.models.common.ids import new_id
from orchestrator.models.gateway.gateway import GatewayCall
from orchestrator.models.gateway.usage import Spending, UsageGroup, UsageKind
from orchestrator.store.gateway.gateway_calls import GatewayCalls, Refused
from orchestrator.store.gateway.usage import UsageLedger
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis

BUDGET = 1000
MODELS = ("small", "large")


@define(eq=False)
class Books:
    """What the store should say."""

    calls: GatewayCalls
    redis: Redis
    open: dict[str, GatewayCall] = field(factory=dict)
    used: int = 0
    unsettled: int = 0

    @property
    def reserved(self) -> int:
        return sum(call.estimate for call in self.open.values())

    async def reserve(self, random: Random) -> None:
        model, estimate = random.choice(MODELS), random.randrange(1, 300)
        call = GatewayCall(new_id(), "acme", UsageKind.GENERATE, {"query": "x"}, model, estimate)
        room = BUDGET - self.used - self.reserved
        reserved = await self.calls.reserve(call)
        assert isinstance(reserved, Refused) == (estimate > room)
        if not isinstance(reserved, Refused):
            self.open[call.call_id] = call

    async def end(self, random: Random) -> None:
        call = random.choice(list(self.open.values()))
        spent = Spending(call.model, 1, call.estimate // 2, 1 + call.estimate // 2)
        for _ in range(random.choice([1, 1, 2])):
            match random.randrange(4):
                case 0:
                    if await self.calls.release(call):
                        del self.open[call.call_id]
                case 1:
                    if await self.calls.give_up(call):
                        self.used += call.estimate
                        self.unsettled += self.open.pop(call.call_id).estimate
                case _:
                    if await self.calls.settle(call, spent):
                        self.used += spent.total_tokens
                        del self.open[call.call_id]

    async def check(self) -> None:
        """Compare."""
        for period in (f"{datetime.now(UTC):%Y%m%d}", f"{datetime.now(UTC):%Y%m}"):
            told = await self.redis.hgetall(self.calls.keys.budget("acme", period))
            assert int(told.get(b"used", 0)) == self.used <= BUDGET
            assert int(told.get(b"reserved", 0)) == self.reserved
            by_model = [told.get(f"reserved|{model}".encode(), 0) for model in MODELS]
            assert sum(map(int, by_model)) == self.reserved
        assert await self.redis.zcard(self.calls.keys.calls("acme")) == len(self.open)


@pytest.fixture
async def books(redis_url: str) -> AsyncIterator[Books]:
    async with open_redis(redis_url) as redis:
        await redis.hset(Keys().tenant_config("acme"), "tokens_day", BUDGET)
        stores = (redis, Keys(), 1000, LimitDefaults.of(AgentOrchestratorSettings()))
        yield Books(GatewayCalls(*stores, lease_ms=3000, give_up_ms=3_600_000), redis)


@pytest.mark.parametrize("seed", range(8))
async def test_budgets_and_ledger_agree_with_what_was_done(books: Books, seed: int) -> None:
    random = Random(seed)
    for _ in range(120):
        if not books.open or random.random() < 0.5:
            await books.reserve(random)
        else:
            await books.end(random)
    await books.check()
    today = datetime.now(UTC).date()
    ledger = UsageLedger(books.redis, Keys(), 1000)
    totals = (await ledger.read("acme", today, today, UsageGroup.MODEL)).totals
    assert totals.total_tokens + totals.unsettled_tokens == books.used
    assert totals.unsettled_tokens == books.unsettled


async def test_calls_in_doubt_are_taken_after_their_lease_by_one_process(books: Books) -> None:
    await books.reserve(Random(1))
    ((call_id, call),) = books.open.items()
    none, wait_ms = await books.calls.take_in_doubt("acme", 10, 60_000)
    assert none == []
    assert 2000 < (wait_ms or 0) <= 3000
    await books.calls.put_in_doubt("acme", call_id, 0)
    tenants, moment, _ = await books.calls.take_tenants(10, 60_000)
    assert tenants == ["acme"]
    (doubt,), _ = await books.calls.take_in_doubt("acme", 10, 60_000)
    assert (doubt.call, doubt.looks) == (call, 1)
    assert (await books.calls.take_in_doubt("acme", 10, 60_000))[0] == []
    assert (await books.calls.take_tenants(10, 60_000))[0] == []
    await books.calls.release(call)
    assert await books.calls.take_in_doubt("acme", 10, 60_000) == ([], None)
    await books.calls.drop("acme", moment)
    assert await books.redis.zcard(Keys().doubts) == 0


async def test_a_tenant_that_was_marked_again_is_not_dropped(books: Books) -> None:
    await books.calls.mark("acme", 0)
    _, moment, _ = await books.calls.take_tenants(10, 60_000)
    await books.calls.mark("acme", 1000)
    await books.calls.drop("acme", moment)
    assert await books.redis.zcard(Keys().doubts) == 1


async def test_a_server_that_has_forgotten_its_scripts_takes_reservations(books: Books) -> None:
    await books.redis.script_flush()
    await books.reserve(Random(1))
    assert await books.redis.zcard(Keys().doubts) == 1
    await books.check()


def a_call(estimate: int) -> GatewayCall:
    return GatewayCall(new_id(), "acme", UsageKind.GENERATE, {"query": "x"}, "small", estimate)


async def wait_of(books: Books, estimate: int) -> int:
    """Reserve a call; returns the ms that it has to wait, 0 where it may begin."""
    reserved = await books.calls.reserve(a_call(estimate))
    return reserved.wait_ms if isinstance(reserved, Refused) else 0


async def test_a_call_beyond_a_minutes_tokens_holds_up_the_next_ones_for_all_that_it_cost(books: Books) -> None:
    await books.redis.hset(books.calls.keys.tenant_config("acme"), "tokens_minute", 60)
    assert await wait_of(books, 300) == 0
    assert 235_000 < await wait_of(books, 1) <= 241_000


async def test_a_rate_of_tokens_lets_the_next_call_pass_after_the_clock_was_set_back(books: Books) -> None:
    await books.redis.hset(books.calls.keys.tenant_config("acme"), "tokens_minute", 60)
    assert await wait_of(books, 1) == 0
    rate = f"{books.calls.keys.tenant_limit('acme')}:gateway:tokens"
    await books.redis.incrbyfloat(rate, 600_000)
    assert await wait_of(books, 1) == 0
    assert 0 < await wait_of(books, 1) <= 1000
