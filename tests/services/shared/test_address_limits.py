"""The limit of an address holds for all processes together, at little cost for Redis."""

from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.services.shared.address_limits import AddressLimits
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.sessions.address_limits import AddressLimitStore
from tests.middleware.test_address_limit import Clock, passed

ADDRESS = "192.0.2.1"


async def test_an_address_that_comes_to_two_processes_has_one_limit(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        store, clock = AddressLimitStore(redis, Keys()), Clock()
        processes = [AddressLimits(store, AddressLimiter(10.0, 10.0, clock)) for _ in range(2)]
        one, other = (process.counts for process in processes)
        assert isinstance(one, AddressLimiter)
        assert isinstance(other, AddressLimiter)
        assert passed(one, ADDRESS, 70) == 70
        assert passed(other, ADDRESS, 10) == 10
        for process in processes:
            await process.sync()
        # What the second has heard leaves it the rest of the burst: a hundred in all, and what a moment adds.
        assert 20 <= passed(other, ADDRESS, 200) <= 25
        for process in reversed(processes):
            await process.sync()
        assert passed(one, ADDRESS, 200) <= 30


async def test_a_trickle_and_a_flood_that_is_refused_are_told_nowhere(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        limiter = AddressLimiter(1000.0, 1.0, Clock())
        limits = AddressLimits(AddressLimitStore(redis, Keys()), limiter)
        assert passed(limiter, ADDRESS, 7) == 7
        await limits.sync()
        assert await redis.exists(Keys().address_limit(ADDRESS)) == 0
        passed(limiter, ADDRESS, 5000)
        assert limiter.drain(1) == [(ADDRESS, 993)]
        passed(limiter, ADDRESS, 5000)
        assert limiter.drain(1) == []


async def test_what_is_kept_of_an_address_goes_by_itself(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        store = AddressLimitStore(redis, Keys())
        assert await store.count([(ADDRESS, 10_000)], 10.0, 5.0) == [10_000]
        assert 0 < await redis.pttl(Keys().address_limit(ADDRESS)) <= 10_000
