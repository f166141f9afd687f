"""Connections of one's own."""

import pytest
import trio

from orchestrator.store.redis.connection import Redis, RedisAway, open_redis
from tests.support.eventually import PATIENCE, eventually


async def clients_until(redis: Redis, count: int, command: str) -> None:
    """Wait until so many clients are in a command."""

    async def blocked() -> int:
        return sum(client["cmd"] == command for client in await redis.client_list())

    await eventually(f"{count} clients are in {command}", blocked, lambda found: found == count)


async def test_a_blocking_command_delays_no_other(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, redis.dedicated() as own, trio.open_nursery() as nursery:

        async def push() -> None:
            await clients_until(redis, 1, "blpop")
            await redis.rpush("list", "value")

        nursery.start_soon(push)
        assert await own.blpop(["list"], timeout=PATIENCE) == [b"list", b"value"]
        assert await own.get("list:other") is None


async def test_cancelling_a_blocked_command_closes_its_connection(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, redis.dedicated() as own:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own.blpop, ["list"], 0)
            await clients_until(redis, 1, "blpop")
            nursery.cancel_scope.cancel()
        await clients_until(redis, 0, "blpop")
        await redis.rpush("list", "kept")
        with pytest.raises(RedisAway, match="away") as closed:
            await own.ping()
        assert not closed.value.sent
        assert await redis.lrange("list", 0, -1) == [b"kept"]


async def test_a_blocked_command_outlives_the_deadline_of_commands(redis_url: str) -> None:
    async with open_redis(redis_url, command_timeout=0.2) as redis, redis.dedicated() as own:
        assert await own.blpop(["list"], timeout=0.4) is None


async def test_a_lost_dedicated_connection_stays_lost(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, redis.dedicated() as own:
        number = await own.client_id()

        async def fail() -> None:
            with pytest.raises(RedisAway) as lost:
                await own.blpop(["list"], 0)
            assert lost.value.sent

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                await clients_until(redis, 1, "blpop")
                await redis.client_kill_filter(_id=number)
        with pytest.raises(RedisAway):
            await own.ping()
        assert await redis.ping() is True


async def test_a_transaction_of_ones_own_fails_when_what_it_watched_has_changed(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, redis.dedicated() as own:
        await own.execute_command("WATCH", "key")
        await redis.set("key", "changed")
        assert (await own.gather([("MULTI",), ("SET", "key", "mine"), ("EXEC",)]))[-1] is None
        assert await redis.get("key") == b"changed"


async def test_no_dedicated_connection_is_left_behind(redis_url: str) -> None:
    async with open_redis(redis_url, name="left-behind") as redis:
        for _ in range(5):
            async with redis.dedicated() as own:
                await own.ping()

        async def connections() -> int:
            return sum(client["name"] == "left-behind" for client in await redis.client_list())

        await eventually("one connection is left", connections, lambda found: found == 1)
