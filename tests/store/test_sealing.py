"""Contents are counted by their keys, and put under another one beside processes that run."""

from attrs import evolve

from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.contents import Contents
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.sealing import _RESEAL, _RESEAL_STREAM, SealingStore
from orchestrator.store.stores import Stores
from tests.services.test_contents_at_rest import KEY, MARKER, OTHER, WAITS, call, operate, talk
from tests.services.workflows.house import House, open_house
from tests.support.credentials import SETTINGS
from tests.support.eventually import eventually


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


async def test_what_is_packed_is_put_under_the_first_key_too_and_reads_as_before(redis_url: str) -> None:
    keys, packed_log = Keys(), ""
    async with open_house(redis_url, patience=20) as house, open_redis(redis_url) as redis:
        session_id = await talk(house, "echo", MARKER)
        packed_log = keys.events("acme", session_id, packed=True)
        await eventually("the log is packed", lambda: redis.exists(packed_log))
        [task_id] = await redis.zrange(keys.task_index("acme"), 0, -1)
        record = keys.task("acme", task_id.decode())
        await eventually("the record is packed", lambda: redis.hexists(record, "z:0"))
        shown = await call(house, f"task.get/{task_id.decode()}", method="GET")
    async with open_redis(redis_url) as redis:
        for ring in ((KEY,), (OTHER, KEY), ("clear", OTHER)):
            done = await SealingStore(redis, Contents.under(ring)).survey(reseal=True)
            assert (done.unreadable, done.resealed > 2) == (0, True)
            sealed = ring[0] != "clear"
            assert (await redis.hget(record, "z:0")).startswith(b"\xff") is sealed
            [pack] = await redis.lrange(packed_log, 0, -1)
            assert pack.partition(b"\n")[2].startswith(b"\xff") is sealed
            async with open_house(redis_url, patience=20, encryption_keys=ring) as other:
                assert await call(other, f"task.get/{task_id.decode()}", method="GET") == shown
                async with other.socket(f"/ws/v1/chat/{session_id}?last_offset=1") as socket:
                    assert (await socket.until("chat.completed"))["data"]["content"] == MARKER


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


async def test_logs_histories_and_dead_letters_are_under_the_new_key_alone_and_as_they_were(redis_url: str) -> None:
    async with open_house(redis_url, patience=20, encryption_keys=(KEY,)) as house, open_redis(redis_url) as redis:
        session_id = await talk(house, "echo", MARKER)
        house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", status=400, count=1))
        await house.call("POST", "chat.message", {"session_id": session_id, "content": f"{MARKER} fails", **WAITS})
        await operate(house, "notification.send", {"title": MARKER, "message": MARKER})
        before = await shown_of(redis, session_id, KEY)
        keys = Keys()
        streams = (
            keys.history("acme", session_id),
            keys.events("acme", session_id),
            keys.dead_letters("acme"),
            keys.notifications("acme"),
        )
        ids = {name: [entry for entry, _ in await redis.xrange(name)] for name in streams}
        infos = {name: await redis.execute_command("XINFO", "STREAM", name) for name in streams}
        alive = {name: await redis.ttl(name) for name in streams}
    assert all(ids.values())
    async with open_redis(redis_url) as redis:
        done = await SealingStore(redis, Contents.under((OTHER, KEY))).survey(reseal=True)
        assert (done.in_streams, done.unreadable, done.by_key["k1"]) == (0, 0, 0)
        assert {name: [entry for entry, _ in await redis.xrange(name)] for name in streams} == ids
        for name in streams:
            info = await redis.execute_command("XINFO", "STREAM", name)
            assert [info[part] for part in KEPT] == [infos[name][part] for part in KEPT]
            assert alive[name] - 60 <= await redis.ttl(name) <= alive[name]
        assert await shown_of(redis, session_id, OTHER) == before
    async with open_house(redis_url, patience=20, encryption_keys=(OTHER,)) as house:
        assert (await operate(house, "dlq.replay/acme", {}))["replayed"] == 1


KEPT = (b"last-generated-id", b"entries-added", b"max-deleted-entry-id", b"length")


async def shown_of(redis: Redis, session_id: str, *ring: str) -> str:
    """What is read of the kept history of a session, of the dead letters and of the notifications."""
    stores = Stores.over(redis, evolve(SETTINGS, encryption_keys=ring))
    history = await stores.tasks.history("acme", session_id, 50)
    letters = await stores.dead_letters.described("acme", await stores.dead_letters.page("acme", None, 50))
    assert history
    assert letters
    return f"{history} {letters}"


async def test_a_stream_is_written_anew_only_where_it_is_what_was_read_and_no_group_reads_it(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        for number in range(1, 4):
            await redis.execute_command("XADD", "s", f"0-{number}", "b", f"old {number}", "n", "name")
        await redis.execute_command("XDEL", "s", "0-3")
        changes = ["0-1", "b", "old 1", "new 1", "0-2", "b", "other", "new 2", "0-3", "b", "old 3", "new 3"]
        assert await _RESEAL_STREAM(redis, keys=["s"], args=changes) == 1
        rows = {entry: fields[b"b"] for entry, fields in await redis.xrange("s")}
        assert rows == {b"0-1": b"new 1", b"0-2": b"old 2"}
        assert (await redis.execute_command("XINFO", "STREAM", "s"))[b"last-generated-id"] == b"0-3"
        assert await redis.ttl("s") == -1
        await redis.execute_command("XGROUP", "CREATE", "s", "group", "0")
        assert await _RESEAL_STREAM(redis, keys=["s"], args=["0-2", "b", "old 2", "new 2"]) == -1
        assert await _RESEAL_STREAM(redis, keys=["missing"], args=["0-1", "b", "x", "y"]) == 0
