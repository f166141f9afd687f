"""Runs of a script that are asked for at the same moment are one command, and each caller gets its own reply."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import frozen

from orchestrator.errors import TenantDamaged
from orchestrator.store.redis.connection import Redis, RedisAway, open_redis
from orchestrator.store.redis.errors import ScriptMissing
from orchestrator.store.redis.joined import Common, Part
from tests.store.redis.gate import open_gate

SCRIPT = """
local replies = {}
for i = 2, #KEYS do
  local found = redis.pcall('INCRBY', KEYS[i], ARGV[i])
  replies[#replies + 1] = found
end
return replies
"""
"""Adds to keys: KEYS 1 unused, ARGV 1 unused, then a key and a number of each caller."""


@frozen
class Adder:
    """Adds by the script."""

    redis: Redis
    common: Common

    async def add(self, key: str, number: int) -> int:
        found: int = await self.redis.run_joined(self.common, Part((key,), (number,)))
        return found


@pytest.fixture
async def adder(redis_url: str) -> AsyncIterator[Adder]:
    async with open_redis(redis_url) as redis:
        digest = await redis.script_load(SCRIPT)
        yield Adder(redis, Common(digest, ("none",), ("none",)))


async def test_callers_of_one_moment_share_a_command(adder: Adder) -> None:
    found: dict[int, int] = {}

    async def add(number: int) -> None:
        found[number] = await adder.add(f"key-{number}", number)

    commands = adder.redis.counters.commands
    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(add, number)
    assert found == {number: number for number in range(40)}
    # The first finds the connection idle, and goes at once; the others follow by 16.
    assert adder.redis.counters.commands - commands == 4


async def test_one_caller_is_served_at_once(adder: Adder) -> None:
    assert [await adder.add("key", 1) for _ in range(3)] == [1, 2, 3]


async def test_others_do_not_join_who_call_another_script_or_for_another_tenant(adder: Adder) -> None:
    other = Adder(adder.redis, Common(adder.common.digest, ("another",), ("none",)))
    commands = adder.redis.counters.commands
    async with trio.open_nursery() as nursery:
        nursery.start_soon(adder.add, "key", 1)
        nursery.start_soon(other.add, "key", 1)
    assert adder.redis.counters.commands - commands == 2
    assert await adder.redis.get("key") == b"2"


async def test_an_error_of_one_caller_is_that_of_no_other(adder: Adder) -> None:
    await adder.redis.rpush("list", "x")
    found: list[int] = []

    async def add() -> None:
        found.append(await adder.add("key", 1))

    async def fail() -> None:
        with pytest.raises(TenantDamaged, match="WRONGTYPE"):
            await adder.add("list", 1)

    async with trio.open_nursery() as nursery:
        for work in (add, fail, add):
            nursery.start_soon(work)
    assert sorted(found) == [1, 2]


async def test_an_error_of_the_whole_run_is_told_to_each(adder: Adder) -> None:
    unknown = Adder(adder.redis, Common("0" * 40, ("none",), ("none",)))

    async def fail() -> None:
        with pytest.raises(ScriptMissing):
            await unknown.add("key", 1)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(fail)


async def test_a_caller_that_leaves_takes_no_reply_of_another(adder: Adder) -> None:
    found: list[int] = []

    async def add(number: int) -> None:
        found.append(await adder.add(f"key-{number}", number))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def leave() -> None:
            with scope:
                await adder.add("left", 1)

        nursery.start_soon(add, 1)
        nursery.start_soon(leave)
        nursery.start_soon(add, 2)
        await trio.testing.wait_all_tasks_blocked(0)
        scope.cancel()
    assert sorted(found) == [1, 2]


async def test_what_can_not_be_sent_fails_its_caller_alone(adder: Adder) -> None:
    async def fail() -> None:
        with pytest.raises(TypeError, match="neither text, bytes nor a number"):
            await adder.redis.run_joined(adder.common, Part(("key",), (object(),)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        nursery.start_soon(adder.add, "key", 1)
    assert await adder.redis.get("key") == b"1"


async def test_a_broken_connection_is_told_to_each_whose_run_may_have_begun(redis_url: str, tmp_path: Path) -> None:
    async with open_gate(redis_url, tmp_path) as gate, open_redis(gate.url) as redis:
        digest = await redis.script_load(SCRIPT)
        adder, faults = Adder(redis, Common(digest, ("none",), ("none",))), list[RedisAway]()

        async def fail() -> None:
            with pytest.raises(RedisAway) as caught:
                await adder.add("key", 1)
            faults.append(caught.value)

        gate.hold()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(fail)
            await trio.testing.wait_all_tasks_blocked(0.01)
            gate.cut()
        assert [fault.sent for fault in faults] == [True] * 3
        gate.let_go()
        assert await adder.add("other", 1) == 1


async def test_runs_wait_for_a_connection_that_is_made_again(redis_url: str, tmp_path: Path) -> None:
    async with open_gate(redis_url, tmp_path) as gate, open_redis(gate.url) as redis:
        digest = await redis.script_load(SCRIPT)
        adder = Adder(redis, Common(digest, ("none",), ("none",)))
        gate.cut()
        await redis.wait_lost()
        assert await adder.add("key", 1) == 1
