"""How many bytes are kept of a tenant."""

from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
from attrs import frozen

from orchestrator.store.redis.connection import Redis, open_redis

LIBRARY = files("orchestrator.store") / "scripts" / "lib" / "common"
TENANT = (LIBRARY / "tenant.lua").read_text(encoding="utf-8")
KEPT = (LIBRARY / "kept.lua").read_text(encoding="utf-8")
KEY = "orchestrator:kept:acme"


@frozen
class Ledger:
    """What the scripts count of a tenant."""

    redis: Redis

    async def run(self, code: str, *, later_ms: int = 0) -> int:
        script = f"{TENANT}\nNOW = NOW + {later_ms}\n{KEPT}\n{code}\nreturn kept_bytes()"
        return int(await self.redis.execute_command("EVAL", script, 1, "queue", "acme", 100))

    async def kept(self, *, later_ms: int = 0) -> int:
        return await self.run("", later_ms=later_ms)


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    async with open_redis(redis_url) as redis:
        yield Ledger(redis)


async def test_what_is_kept_for_a_time_counts_that_long_and_a_24th_of_it_more_at_most(ledger: Ledger) -> None:
    day = 86_400_000
    assert await ledger.run("keep_bytes(1000, 86400) keep_bytes(10, 10 * 86400)") == 1010
    assert await ledger.kept(later_ms=day - 1000) == 1010
    assert await ledger.kept(later_ms=day + day // 24) == 10
    assert await ledger.kept(later_ms=11 * day) == 0


async def test_what_is_open_counts_until_it_is_given_back_and_never_below_nothing(ledger: Ledger) -> None:
    assert await ledger.run("keep_open(500)") == 500
    assert await ledger.kept(later_ms=400 * 86_400_000) == 500
    assert await ledger.run("keep_open(-200)") == 300
    assert await ledger.run("keep_open(-1000)") == 0


async def test_a_wrong_sum_is_right_again_when_the_next_bucket_ends(ledger: Ledger) -> None:
    await ledger.run("keep_bytes(1000, 3600) keep_bytes(70, 86400)")
    await ledger.redis.hset(KEY, "total", 10**9)
    assert await ledger.kept(later_ms=2 * 3_600_000) == 70


async def test_much_work_fills_few_buckets(ledger: Ledger) -> None:
    step = "for i = 1, 500 do NOW = NOW + 3600000 keep_bytes(1, 7 * 86400) kept_bytes() end"
    assert await ledger.run(step) <= 7 * 24 + 8
    assert await ledger.redis.hlen(KEY) <= 30
    assert await ledger.redis.ttl(KEY) > 0
