"""Tenants with work: marked once for many callers, and never before the work is there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from orchestrator.errors import StoreUnavailable
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, RedisAway, open_redis
from orchestrator.store.scheduling.ready import ReadyTenants, Settlement


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


class Gate:
    """Stands for a connection: lets every command through once it is opened, and counts the marks."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.sent = 0
        self.opened = trio.Event()
        self.failures = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        # A script that the server does not know yet is sent again as a whole.
        self.sent += args[0] == "EVALSHA"
        await self.opened.wait()
        if self.failures:
            self.failures -= 1
            raise RedisAway("it is away", sent=True)
        return await self._redis.execute_command(*args, **options)


def gated(redis: Redis) -> tuple[Gate, ReadyTenants]:
    gate = Gate(redis)
    return gate, ReadyTenants(gate, Keys())  # type: ignore[arg-type] # only this command of it is used


async def ready_of(redis: Redis) -> list[bytes]:
    names: list[bytes] = await redis.zrange(Keys().ready, 0, -1)
    return names


async def test_concurrent_marks_become_one_and_one_that_follows_it(redis: Redis) -> None:
    gate, ready = gated(redis)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ready.mark, "acme")
        await trio.testing.wait_all_tasks_blocked()
        assert gate.sent == 1
        gate.opened.set()
    assert gate.sent == 2
    assert await ready_of(redis) == [b"acme"]


async def test_a_mark_that_began_before_the_work_came_in_does_not_count_for_it(redis: Redis) -> None:
    gate, ready = gated(redis)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ready.mark, "acme")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ready.mark, "acme")
        await trio.testing.wait_all_tasks_blocked()
        gate.opened.set()
    assert gate.sent == 2


async def test_tenants_do_not_wait_for_each_others_marks(redis: Redis) -> None:
    gate, ready = gated(redis)
    async with trio.open_nursery() as nursery:
        for tenant in ("acme", "globex"):
            nursery.start_soon(ready.mark, tenant)
        await trio.testing.wait_all_tasks_blocked()
        assert gate.sent == 2
        gate.opened.set()
    assert sorted(await ready_of(redis)) == [b"acme", b"globex"]


async def test_a_caller_that_relied_on_a_failed_mark_marks_again(redis: Redis) -> None:
    gate, ready = gated(redis)
    gate.failures = 2
    failed = 0

    async def mark() -> None:
        nonlocal failed
        try:
            await ready.mark("acme")
        except StoreUnavailable:
            failed += 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(mark)
        await trio.testing.wait_all_tasks_blocked()
        gate.opened.set()
    assert failed == 2
    assert await ready_of(redis) == [b"acme"]


async def test_a_caller_that_relied_on_a_cancelled_mark_marks_again(redis: Redis) -> None:
    gate, ready = gated(redis)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ready.mark, "acme")
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as leaving:
            async with trio.open_nursery() as inner:
                inner.start_soon(ready.mark, "acme")
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ready.mark, "acme")
                await trio.testing.wait_all_tasks_blocked()
                leaving.cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.opened.set()
    assert gate.sent == 2
    assert await ready_of(redis) == [b"acme"]


async def test_only_a_scheduler_that_waits_is_told_of_what_is_expected(redis: Redis) -> None:
    ready = ReadyTenants(redis, Keys())
    assert not ready.expect("acme")
    hints: list[str | None] = []

    async def wait() -> None:
        hints.append(await ready.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert ready.expect("acme")
        assert not ready.expect("globex")
    assert hints == ["acme"]


async def test_a_virtual_time_that_nothing_could_reach_sets_the_clock_of_none(redis: Redis) -> None:
    ready, keys = ReadyTenants(redis, Keys()), Keys()
    await redis.zadd(keys.ready, {"odd": float("inf"), "sound": 5})
    await redis.set(keys.clock, "inf")
    turns = await ready.take(2, [])
    assert [turn.tenant_id for turn in turns] == ["sound", "odd"]
    assert float(await redis.get(keys.clock)) == 5
    await ready.take(0, [Settlement("odd", turns[1].virtual_time + 1, more=True)])
    assert await redis.zscore(keys.ready, "odd") == 5


async def test_a_weight_beyond_all_numbers_is_none(redis: Redis) -> None:
    ready, keys = ReadyTenants(redis, Keys()), Keys()
    await redis.zadd(keys.ready, {"odd": 5})
    await redis.hset(keys.weights, "odd", "1e400")
    (turn,) = await ready.take(1, [])
    assert turn.weight == 1


async def test_work_of_a_tenant_that_was_passed_over_wakes_no_scheduler_of_this_process(redis: Redis) -> None:
    ready = ReadyTenants(redis, Keys())
    await ready.take(1, passed_over=["acme"])
    woken: list[str | None] = []

    async def schedule() -> None:
        woken.append(await ready.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(schedule)
        await trio.testing.wait_all_tasks_blocked()
        ready.wake("acme")
        await ready.mark("acme")
        await trio.testing.wait_all_tasks_blocked()
        assert not woken
        ready.wake("globex")
    assert woken == ["globex"]
    assert await ready_of(redis) == [b"acme"], "other processes may have room for it"
    await ready.take(1)
    assert ready.expect("acme") is False
    ready.wake("acme")
    assert await ready.wait() == "acme", "it was not passed over the next time"


async def test_a_wait_that_was_given_up_is_told_of_nothing_and_loses_no_wake_up(redis: Redis) -> None:
    ready = ReadyTenants(redis, Keys())
    with trio.CancelScope(deadline=trio.current_time()):
        await ready.wait()
    assert ready.expect("acme") is False, "no scheduler waits"
    ready.wake("acme")
    with trio.fail_after(30):
        assert await ready.wait() == "acme"
