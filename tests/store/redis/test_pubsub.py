"""Following channels, through losses and floods."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from orchestrator.store.redis.connection import RECONNECTED, Message, Redis, RedisAway, Subscriber, open_redis
from tests.store.redis.gate import Gate, open_gate
from tests.support.eventually import PATIENCE, eventually


@asynccontextmanager
async def following(url: str, *channels: str) -> AsyncIterator[tuple[Redis, Subscriber]]:
    async with open_redis(url, reconnect_wait=PATIENCE) as redis, redis.subscriber() as subscriber:
        await subscriber.subscribe(*channels)
        with trio.fail_after(PATIENCE):
            yield redis, subscriber


@pytest.fixture
async def gate(redis_url: str, tmp_path: Path) -> AsyncIterator[Gate]:
    async with open_gate(redis_url, tmp_path) as gate:
        yield gate


async def test_messages_come_in_order_from_what_is_followed(redis_url: str) -> None:
    async with following(redis_url, "a", "b") as (redis, subscriber):
        assert await redis.publish("a", "1") == 1
        assert await redis.publish("c", "no") == 0
        assert await redis.publish("b", b"\xff") == 1
        assert await anext(subscriber) == Message(b"a", b"1")
        assert await anext(subscriber) == Message(b"b", b"\xff")


async def test_a_channel_that_is_left_is_confirmed_and_silent(redis_url: str) -> None:
    async with following(redis_url, "a", "b") as (redis, subscriber):
        await subscriber.unsubscribe("a", "never followed")
        assert await redis.publish("a", "no") == 0
        await redis.publish("b", "yes")
        assert await anext(subscriber) == Message(b"b", b"yes")


async def test_thousands_of_channels_are_followed(redis_url: str) -> None:
    channels = [f"channel:{number}" for number in range(5000)]
    async with following(redis_url, *channels) as (redis, subscriber):
        await redis.gather([("PUBLISH", channel, channel) for channel in channels[::2]])
        for channel in channels[::2]:
            assert await anext(subscriber) == Message(channel.encode(), channel.encode())
        await subscriber.unsubscribe(*channels)
        assert await redis.pubsub_channels("channel:*") == []


async def test_after_a_loss_all_is_followed_again_and_the_reader_is_told(gate: Gate) -> None:
    channels = [f"channel:{number}" for number in range(500)]
    async with following(gate.url, *channels) as (redis, subscriber):
        await redis.publish("channel:7", "before")
        for turn in range(3):
            assert isinstance(await anext(subscriber), Message)
            gate.cut()
            assert await anext(subscriber) is RECONNECTED
            await redis.publish(f"channel:{turn}", "after")
        assert await anext(subscriber) == Message(b"channel:2", b"after")


async def test_a_change_during_a_loss_is_made_good_by_the_next_connection(gate: Gate) -> None:
    async with following(gate.url, "old", "left") as (redis, subscriber):
        gate.hold()
        gate.cut()
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscriber.subscribe, "new")
            nursery.start_soon(subscriber.unsubscribe, "left")
            await trio.testing.wait_all_tasks_blocked()
            gate.let_go()
        assert await anext(subscriber) is RECONNECTED
        assert sorted(await redis.pubsub_channels()) == [b"new", b"old"]


async def test_a_subscription_does_not_wait_for_ever_for_a_server_that_is_away(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_gate(redis_url, tmp_path) as gate,
        open_redis(gate.url, reconnect_wait=0.1, connect_timeout=0.1, command_timeout=0.1) as redis,
        redis.subscriber() as subscriber,
    ):
        await subscriber.subscribe("a")
        gate.hold()
        with trio.fail_after(PATIENCE), pytest.raises(RedisAway):
            await subscriber.subscribe("b")
        gate.let_go()
        with trio.fail_after(PATIENCE):
            assert await anext(subscriber) is RECONNECTED
            assert await redis.pubsub_channels() == [b"a"]


async def test_the_first_connection_may_take_longer_than_a_later_one(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_gate(redis_url, tmp_path) as gate,
        open_redis(gate.url, reconnect_wait=0.01) as redis,
        open_redis(redis_url) as direct,
    ):
        gate.hold()
        async with redis.subscriber() as subscriber, trio.open_nursery() as nursery:
            nursery.start_soon(subscriber.subscribe, "a")
            await trio.sleep(0.1)  # ten times as long as a later one may take
            gate.let_go()
            await eventually("the channel is followed", direct.pubsub_channels, lambda found: found == [b"a"])


async def test_a_full_buffer_is_dropped_for_one_marker(redis_url: str) -> None:
    async with following(redis_url, "a") as (redis, subscriber):
        await redis.gather([("PUBLISH", "a", number) for number in range(4096 + 10)])
        await subscriber.subscribe("b")
        assert await anext(subscriber) is RECONNECTED
        await redis.publish("b", "after")
        left = []
        while (message := await anext(subscriber)) != Message(b"b", b"after"):
            left.append(message)
        assert len(left) < 10


async def test_a_channel_that_is_not_allowed_is_refused_and_not_followed(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.execute_command("ACL SETUSER", "listener", "on", ">secret", "+@all", "resetchannels", "&open:*")
        url = f"unix://listener:secret@{redis_url.removeprefix('unix://')}"
        async with following(url, "open:1") as (_, subscriber):
            with pytest.raises(RedisAway, match="NOPERM"):
                await subscriber.subscribe("open:2", "closed:1")
            assert await redis.publish("open:1", "x") == 1
            assert await anext(subscriber) == Message(b"open:1", b"x")
        await redis.execute_command("ACL", "DELUSER", "listener")


async def test_changes_and_messages_cross_without_confusion(redis_url: str) -> None:
    async with following(redis_url, "flood") as (redis, subscriber), trio.open_nursery() as nursery:

        async def change(name: str) -> None:
            for _ in range(30):
                await subscriber.subscribe(name)
                assert await redis.publish(name, "x") == 1
                await subscriber.unsubscribe(name)
                assert await redis.publish(name, "x") == 0

        async def flood() -> None:
            for _ in range(500):
                await redis.publish("flood", "x")

        for number in range(20):
            nursery.start_soon(change, f"channel:{number}")
        nursery.start_soon(flood)
        received = 0
        while received < 500:
            message = await anext(subscriber)
            received += isinstance(message, Message) and message.channel == b"flood"
