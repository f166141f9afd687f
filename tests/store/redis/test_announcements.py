"""Following one channel: payloads in order, and a word where some may be missing."""

from pathlib import Path

import pytest
import trio

from orchestrator.store.redis.announcements import follow_channel
from orchestrator.store.redis.connection import RedisAway, open_redis
from tests.store.redis.gate import open_gate


async def test_payloads_come_in_order_and_a_loss_is_told(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_gate(redis_url, tmp_path) as gate,
        open_redis(redis_url) as redis,
        open_redis(gate.url, reconnect_wait=10) as reader,
        follow_channel(reader, "news") as announcements,
    ):
        with trio.fail_after(10):
            for payload in (b"1", b"\xff"):
                await redis.publish("news", payload)
                assert await anext(announcements) == payload
            gate.cut()
            assert await anext(announcements) is None
            await redis.publish("news", b"2")
            assert await anext(announcements) == b"2"


async def test_a_channel_that_is_not_allowed_can_not_be_followed(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        await redis.execute_command("ACL SETUSER", "listener", "on", ">secret", "+@all", "resetchannels")
        async with open_redis(f"unix://listener:secret@{redis_url.removeprefix('unix://')}") as listener:
            with pytest.raises(RedisAway, match="NOPERM"):
                async with follow_channel(listener, "news"):
                    pytest.fail("it is followed")
        await redis.execute_command("ACL", "DELUSER", "listener")
