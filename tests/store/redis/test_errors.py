"""What Redis refuses: an outage of the server, or damage of a tenant's keys; never an exception of redis-py."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.store.redis.connection import Redis, RedisAway, open_redis
from orchestrator.store.redis.errors import OUTAGES, GroupExists, ScriptMissing, refusal
from orchestrator.store.redis.groups import ensure_group
from orchestrator.store.script import Script


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.mark.parametrize("code", sorted(OUTAGES))
def test_what_a_server_says_of_itself_is_an_outage_in_its_own_words(code: str) -> None:
    away = refusal(f"{code} for a reason of its own")
    assert isinstance(away, StoreUnavailable)
    assert away.reason == f"the server refuses: {code} for a reason of its own"
    assert "reason of its own" not in away.body().message
    assert "reason of its own" in str(away)
    assert isinstance(away, RedisAway)
    assert not away.sent
    assert isinstance(away, ScriptMissing) == (code == "NOSCRIPT")


@pytest.mark.parametrize("text", ["OOM command not allowed. script: 4f, on @user_script:3.", "NOPERM no script: 4f"])
def test_a_script_may_have_written_before_it_was_refused(text: str) -> None:
    away = refusal(text)
    assert isinstance(away, RedisAway)
    assert away.sent


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR value is not an integer or out of range",
        "ERR user_script:12: attempt to compare nil with number script: 4f, on @user_script:12.",
        "NEWCODE of a later version",
    ],
)
def test_anything_else_is_about_the_keys_and_says_what(text: str) -> None:
    damage = refusal(text)
    assert type(damage) is TenantDamaged
    assert str(damage) == text.removeprefix("ERR ")
    # A client is not told what Redis has said.
    assert str(damage) not in damage.body().message


async def test_a_user_without_rights_meets_an_outage_in_scripts_too(redis: Redis, redis_url: str) -> None:
    await redis.execute_command("ACL SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-set")
    async with open_redis(f"unix://reader:secret@{redis_url.removeprefix('unix://')}") as reader:
        for command in (("SET", "key", 1), ("EVAL", "return redis.call('SET', 'key', 1)", 0)):
            with pytest.raises(RedisAway) as refused:
                await reader.execute_command(*command)
            assert "no permissions to run the 'set' command" in refused.value.reason
    await redis.execute_command("ACL", "DELUSER", "reader")


async def test_a_pipelined_command_on_a_damaged_key_is_refused_like_a_single_one(redis: Redis) -> None:
    await redis.set("damaged", "text")
    commands = [("SET", "a", 1), ("LPUSH", "damaged", "x"), ("SET", "b", 2)]
    with pytest.raises(TenantDamaged, match="WRONGTYPE"):
        await redis.gather(commands)
    replies = await redis.gather([*commands, ("GET", "b")], raise_on_error=False)
    assert [type(reply) for reply in replies] == [bytes, TenantDamaged, bytes, bytes]
    async with redis.dedicated() as own:
        with pytest.raises(TenantDamaged, match="WRONGTYPE"):
            await own.gather(commands)


async def test_a_script_on_a_damaged_key_is_refused_also_where_it_has_to_be_sent(redis: Redis) -> None:
    script = Script("sessions/rate_limit")
    await redis.rpush("tenant", "no string")
    await redis.script_flush()
    for _ in range(2):
        with pytest.raises(TenantDamaged, match="WRONGTYPE"):
            await script(redis, keys=["queue", "tenant", "user"], args=["acme", 10, 10, 10, 5, 1])


async def test_a_consumer_group_is_created_once_and_may_be_asked_for_again(redis: Redis) -> None:
    await ensure_group(redis, "stream", "group")
    async with redis.dedicated() as own:
        await ensure_group(own, "stream", "group")
        with pytest.raises(GroupExists):
            await own.execute_command("XGROUP", "CREATE", "stream", "group", "0")
    assert [group[b"name"] for group in await redis.execute_command("XINFO", "GROUPS", "stream")] == [b"group"]
    await redis.set("damaged", "text")
    with pytest.raises(TenantDamaged):
        await ensure_group(redis, "damaged", "group")


async def test_a_stream_that_was_lost_with_its_group_is_an_outage(redis: Redis) -> None:
    with pytest.raises(RedisAway, match="NOGROUP"):
        await redis.execute_command("XREADGROUP", "GROUP", "group", "node", "STREAMS", "lost", ">")
