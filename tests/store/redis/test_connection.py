"""The shared connection: what goes in, what comes out, and whose it is."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from orchestrator.errors import TenantDamaged
from orchestrator.sandbox.redis.redis_launch import RedisLaunch
from orchestrator.store.redis.connection import Redis, RedisAway, open_redis
from tests.store.redis.gate import open_gate


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


async def test_commands_of_redis_py_are_answered_in_its_shapes_and_in_bytes(redis: Redis) -> None:
    await redis.hset("hash", mapping={"a": 1, "ü": "ö"})
    entry = await redis.xadd("stream", {"field": b"\x00\xff"})
    await redis.zadd("scores", {"x": 1.5})
    assert await redis.hgetall("hash") == {b"a": b"1", "ü".encode(): "ö".encode()}
    assert await redis.xrange("stream") == [(entry, {b"field": b"\x00\xff"})]
    assert await redis.zrange("scores", 0, -1, withscores=True) == [[b"x", 1.5]]
    assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    assert await redis.mget([]) == []
    assert await redis.ping() is True


async def test_an_error_of_redis_is_raised_where_the_command_was_given(redis: Redis) -> None:
    await redis.set("text", "x")
    with pytest.raises(TenantDamaged, match="WRONGTYPE"):
        await redis.lpush("text", "y")
    with pytest.raises(RedisAway, match="unknown command"):
        await redis.execute_command("NONSENSE")
    assert await redis.get("text") == b"x"


@pytest.mark.parametrize("value", [None, True, object(), ["list"]])
async def test_a_value_that_redis_has_no_bytes_for_is_refused_before_it_is_sent(redis: Redis, value: object) -> None:
    with pytest.raises(TypeError, match="neither text, bytes nor a number"):
        await redis.execute_command("SET", "key", value)
    assert await redis.exists("key") == 0


async def test_gather_answers_in_order_in_one_send(redis: Redis) -> None:
    before = redis.counters.sends
    assert await redis.gather([("SET", "a", 1), ("GET", "a"), ("INCR", "a")]) == [b"OK", b"1", 2]
    assert redis.counters.sends == before + 1
    assert await redis.gather([]) == []
    assert await redis.gather([("PING",)]) == [b"PONG"]


async def test_gather_raises_the_first_error_or_leaves_errors_in_place(redis: Redis) -> None:
    commands = [("SET", "a", "x"), ("INCR", "a"), ("GET", "a")]
    with pytest.raises(TenantDamaged, match="not an integer"):
        await redis.gather(commands)
    replies = await redis.gather(commands, raise_on_error=False)
    assert replies[::2] == [b"OK", b"x"]
    assert isinstance(replies[1], TenantDamaged)


async def test_tcp_databases_and_names_work(redis_server: RedisLaunch, redis_url: str) -> None:
    url = redis_server.tcp_url.removesuffix("/0") + "/3"
    async with open_redis(url, name="by-name") as there, open_redis(redis_url) as here:
        await there.set("key", "value")
        assert await here.get("key") is None
        assert [client["db"] for client in await here.client_list() if client["name"] == "by-name"] == ["3"]


async def test_a_user_logs_in_and_is_held_to_its_rights(redis_server: RedisLaunch, redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.execute_command("ACL SETUSER", "reader", "on", ">p@ss/word", "~*", "+@read", "+ping", "+select")
        path = redis_url.removeprefix("unix://")
        async with open_redis(f"unix://reader:p%40ss%2Fword@{path}") as reader:
            assert await reader.get("key") is None
            with pytest.raises(RedisAway) as forbidden:
                await reader.set("key", "value")
            assert "NOPERM" in forbidden.value.reason
        with pytest.raises(RedisAway, match="away") as refused:
            async with open_redis(f"unix://reader:wrong@{path}"):
                pytest.fail("it let us in")
        assert "invalid username-password" in refused.value.reason
        await redis.execute_command("ACL", "DELUSER", "reader")
        with pytest.raises(RedisAway, match="WRONGPASS"):
            await redis.execute_command("AUTH", "reader", "p@ss/word")


@pytest.mark.parametrize("url", ["http://localhost", "unix://", "localhost:6379"])
async def test_a_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"unix|scheme"):
        async with open_redis(url):
            pytest.fail("it connected")


async def test_what_the_block_raises_comes_out_as_it_is(redis_url: str) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_redis(redis_url) as redis, redis.dedicated(), redis.subscriber():
            raise KeyError("mine")


async def test_a_thousand_callers_share_few_sends_and_each_gets_its_own(redis: Redis) -> None:
    async def count(name: str) -> None:
        for turn in range(1, 6):
            assert await redis.incr(name) == turn

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(count, f"counter:{number}")
    assert redis.counters.commands >= 5000
    assert redis.counters.sends < 500


async def test_megabytes_pass_both_ways_beside_small_values(redis: Redis) -> None:
    async def store(number: int) -> None:
        value = bytes([number]) * 2**20
        await redis.set(f"large:{number}", value)
        assert await redis.get(f"large:{number}") == value
        assert await redis.echo(str(number)) == str(number).encode()

    async with trio.open_nursery() as nursery:
        for number in range(24):
            nursery.start_soon(store, number)


@pytest.mark.parametrize("seed", range(8))
async def test_a_cancelled_caller_never_shifts_a_reply(redis: Redis, seed: int) -> None:
    dice = random.Random(seed)
    finished = cancelled = 0

    async def call(number: int, patience: float) -> None:
        nonlocal finished, cancelled
        for turn in range(20):
            word = f"{number}:{turn}".encode()
            with trio.move_on_after(patience * dice.random()) as scope:
                if dice.random() < 0.3:
                    count = dice.randrange(1, 5)
                    answers = await redis.gather([("ECHO", word)] * count)
                    assert answers == [word] * count
                else:
                    assert await redis.echo(word) == word
                finished += 1
            cancelled += scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(call, number, dice.choice([0.0005, 0.005, 1]))
    assert finished > 100
    assert cancelled > 100
    assert await redis.echo("last") == b"last"


async def test_a_caller_that_is_cancelled_already_sends_nothing(redis: Redis) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await redis.set("key", "value")
    with trio.CancelScope() as scope:
        scope.cancel()
        await redis.gather([("SET", "key", "value")])
    assert await redis.exists("key") == 0


async def test_push_messages_do_not_count_as_replies(redis: Redis) -> None:
    await redis.execute_command("CLIENT", "TRACKING", "ON", "BCAST")

    async def write(number: int) -> None:
        for turn in range(20):
            await redis.set(f"key:{number}", turn)
            assert await redis.get(f"key:{number}") == str(turn).encode()

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(write, number)


async def test_callers_wait_in_line_where_too_much_is_unsent(redis_url: str, tmp_path: Path) -> None:
    limit, size, order = 2**20, 2**18, list[int]()
    async with open_gate(redis_url, tmp_path) as gate, open_redis(gate.url, max_pending_bytes=limit) as redis:
        gate.hold()

        async def store(number: int) -> None:
            order.append(await redis.rpush("list", number.to_bytes(2, "big") * (size // 2)))

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(store, number)
                await trio.testing.wait_all_tasks_blocked()
            wire = redis._wire
            assert wire is not None
            assert wire._pending_bytes <= limit + size + 100
            gate.let_go()
        firsts = [bytes(value[:2]) for value in await redis.lrange("list", 0, -1)]
    assert firsts == [number.to_bytes(2, "big") for number in range(40)]
    assert sorted(order) == list(range(1, 41))


async def test_a_caller_that_gives_up_in_the_line_lets_the_next_one_in(redis_url: str, tmp_path: Path) -> None:
    async with open_gate(redis_url, tmp_path) as gate, open_redis(gate.url, max_pending_bytes=2**16) as redis:
        gate.hold()
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(redis.set, f"key:{number}", bytes(2**18))
            await trio.testing.wait_all_tasks_blocked()
            for seconds in (0.01, 0.02):
                with trio.move_on_after(seconds):
                    await redis.set("given up", "x")
            nursery.start_soon(redis.set, "last", "x")
            await trio.testing.wait_all_tasks_blocked()
            gate.let_go()
        assert await redis.exists("given up") == 0
        assert await redis.dbsize() == 31
