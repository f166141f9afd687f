"""Following one channel: payloads in order, and a word where some may be missing."""

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from orchestrator.store.redis.announcements import follow_channel
from orchestrator.store.redis.connection import RedisAway, open_redis
from orchestrator.store.redis.unreadable import UnreadableInput
from tests.store.redis.gate import open_gate


async def test_payloads_come_in_order_and_a_loss_is_told(redis_url: str, tmp_path: Path) -> None:
    async with (
        open_gate(redis_url, tmp_path) as gate,
        open_redis(redis_url) as redis,
        open_redis(gate.url, reconnect_wait=10) as reader,
        follow_channel(reader, "news", bytes) as announcements,
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
                async with follow_channel(listener, "news", bytes):
                    pytest.fail("it is followed")
        await redis.execute_command("ACL", "DELUSER", "listener")


async def test_what_can_not_be_read_is_counted_and_told_as_a_loss(redis_url: str) -> None:
    sources: list[str] = []
    unreadable = UnreadableInput(sources.append)
    with capture_logs() as logs:
        async with (
            open_redis(redis_url, unreadable=unreadable) as redis,
            follow_channel(redis, "numbers", int) as announcements,
        ):
            with trio.fail_after(10):
                for payload, read in ((b"1", 1), (b"\xff", None), (b"secret", None), (b"2", 2)):
                    await redis.publish("numbers", payload)
                    assert await anext(announcements) == read
    assert sources == ["numbers", "numbers"]
    [line] = [line for line in logs if line["event"] == "input.unreadable"]
    assert (line["source"], line["fault"], line["log_level"]) == ("numbers", "ValueError", "error")
    assert "secret" not in str(logs)
