"""Contents are counted by their keys, and put under another one beside processes that run."""

from orchestrator.store.contents import Contents
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.sealing import _RESEAL, SealingStore
from tests.services.test_contents_at_rest import KEY, MARKER, OTHER, call, talk
from tests.services.workflows.house import House, open_house


async def keep_things(house: House) -> str:
    session_id = await talk(house, "echo", MARKER)
    await call(house, "schedule.create", {"cron": "0 0 1 1 *", "agent_id": "echo", "content": MARKER})
    return session_id


async def test_contents_are_counted_by_key_and_put_under_the_first_one_and_back_into_clear(redis_url: str) -> None:
    async with open_house(redis_url, patience=20) as house, open_redis(redis_url) as redis:
        session_id = await keep_things(house)
        for ring, before in (((KEY,), None), ((OTHER, KEY), "k1"), (("clear", OTHER, KEY), "k2")):
            store = SealingStore(redis, Contents.under(ring))
            first = await store.survey()
            key_id = Contents.under(ring).key_id
            assert (first.by_key[before] > 0, first.unreadable, first.resealed) == (True, 0, 0)
            done = await store.survey(reseal=True)
            assert done.resealed == sum(first.by_key.values()) - first.by_key[key_id] - first.in_streams > 0
            again = await store.survey(reseal=True)
            assert (again.resealed, again.by_key[key_id]) == (0, first.by_key[key_id] + done.resealed)
            async with open_house(redis_url, patience=20, encryption_keys=ring) as other:
                shown = await call(other, f"session.get/{session_id}", method="GET")
                assert shown["context"] == {"note": MARKER}


async def test_a_value_that_changes_meanwhile_is_left_alone(redis_url: str) -> None:
    async with open_house(redis_url, patience=20) as house, open_redis(redis_url) as redis:
        session_id = await keep_things(house)
        key = Keys().session("acme", session_id)
        old, *_ = await redis.hmget(key, "context")

        await redis.hset(key, "context", '{"new":1}')
        assert await _RESEAL(redis, keys=[key], args=["context", old, b"x", "metadata", b"nothing", b"y"]) == 0
        assert await redis.hget(key, "context") == b'{"new":1}'


async def test_what_is_under_a_key_that_is_not_there_is_told_and_left(redis_url: str) -> None:
    async with open_house(redis_url, patience=20, encryption_keys=(KEY,)) as house, open_redis(redis_url) as redis:
        await keep_things(house)
        found = await SealingStore(redis, Contents.under([OTHER])).survey(reseal=True)
        assert (found.unreadable > 0, found.resealed) == (True, 0)
