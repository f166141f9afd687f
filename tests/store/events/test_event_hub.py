"""Following a session's events: in order, without gap, without double, whatever happens."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import frozen

from orchestrator.errors import NotFound, TenantDamaged
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.background_loops import BackgroundLoops, Loop
from orchestrator.store.events.event_hub import EventHub, Follower, FollowerTooSlow, HubStopped, LogLost
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.store.events.log_writer import LogWriter, data_of
from tests.support.eventually import PATIENCE, eventually


@frozen
class Rig:
    """A pump that runs, and a log to write to."""

    redis: Redis
    hub: EventHub
    log: LogWriter


@asynccontextmanager
async def open_rig(url: str) -> AsyncIterator[Rig]:
    async with open_redis(url) as redis, trio.open_nursery() as nursery:
        hub = EventHub(redis, Keys(), EventLog(redis, Keys()))
        await nursery.start(hub.run)
        nursery.start_soon(BackgroundLoops().keep, Loop("redis_generation", hub.watch_generation))
        log = LogWriter(redis)
        await log.begin()
        with trio.fail_after(PATIENCE):
            yield Rig(redis, hub, log)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[Rig]:
    async with open_rig(redis_url) as rig:
        yield rig


async def offsets(follower: Follower, until: int) -> list[int]:
    """Receive until an offset has come; returns all that came."""
    seen: list[int] = []
    while not seen or seen[-1] < until:
        seen += [event.offset for event in await follower.receive()]
    return seen


async def until_unfollowed(log: LogWriter) -> None:
    await eventually("nothing follows", log.followers, lambda count: count == 0)


async def test_events_come_in_order_as_they_are_appended(rig: Rig) -> None:
    await rig.log.chunk(1)
    async with rig.hub.follow("acme", "s1") as follower:
        assert (follower.recovered, follower.offset, follower.epoch) == (True, 1, "e1")
        for number in range(2, 6):
            await rig.log.chunk(number)
        assert await offsets(follower, 5) == [2, 3, 4, 5]


async def test_a_follower_resumes_after_every_offset(rig: Rig) -> None:
    for number in range(1, 8):
        await rig.log.chunk(number)
    for after in range(8):
        async with rig.hub.follow("acme", "s1", after=after, epoch="e1", capacity=8) as follower:
            assert follower.recovered
            last = await rig.log.chunk(99)
            assert await offsets(follower, last) == list(range(after + 1, last + 1))


async def test_a_resume_longer_than_the_outbox_arrives_whole(rig: Rig) -> None:
    for number in range(1, 60):
        await rig.log.chunk(number)
    async with rig.hub.follow("acme", "s1", after=0, capacity=8) as follower:
        await rig.log.chunk(60)
        assert await offsets(follower, 60) == list(range(1, 61))


async def test_an_event_shows_the_same_frame_to_all_who_follow(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as one, rig.hub.follow("acme", "s1") as other:
        await rig.log.chunk(1, "hello")
        [mine], [theirs] = await one.receive(), await other.receive()
        assert mine.frame is theirs.frame
        assert mine.frame.startswith(b'{"offset":1,"epoch":"e1","data":{')
        assert data_of(mine.frame)["chunk"] == "hello"


async def test_another_epoch_is_not_recovered(rig: Rig) -> None:
    await rig.log.chunk(1)
    async with rig.hub.follow("acme", "s1", after=0, epoch="old") as follower:
        assert (follower.recovered, follower.offset, follower.epoch) == (False, 1, "e1")


async def test_an_offset_beyond_the_head_is_not_recovered(rig: Rig) -> None:
    await rig.log.chunk(1)
    async with rig.hub.follow("acme", "s1", after=2, epoch="e1") as follower:
        assert (follower.recovered, follower.offset) == (False, 1)


async def test_a_log_that_was_cut_is_recovered_only_from_where_it_begins(rig: Rig) -> None:
    for number in range(1, 10):
        await rig.log.chunk(number, keep=4)
    for after in range(5):
        async with rig.hub.follow("acme", "s1", after=after, epoch="e1") as follower:
            assert (follower.recovered, follower.offset) == (False, 9)
    async with rig.hub.follow("acme", "s1", after=5, epoch="e1") as follower:
        assert follower.recovered
        assert await offsets(follower, 9) == [6, 7, 8, 9]


async def test_a_log_that_expired_is_not_recovered(rig: Rig) -> None:
    await rig.log.chunk(1)
    await rig.redis.delete(Keys().events("acme", "s1"))
    async with rig.hub.follow("acme", "s1", after=0, epoch="e1") as follower:
        assert (follower.recovered, follower.offset) == (False, 1)


async def test_an_unknown_session_is_not_found_and_leaves_no_subscription(rig: Rig) -> None:
    with pytest.raises(NotFound):
        async with rig.hub.follow("acme", "unknown"):
            pass
    await until_unfollowed(LogWriter(rig.redis, session_id="unknown"))


async def test_what_was_never_published_is_read_from_the_log(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as follower:
        await rig.log.chunk(1)
        await rig.log.chunk(2, publish=False)
        await rig.log.chunk(3, publish=False)
        await rig.log.chunk(4)
        assert await offsets(follower, 4) == [1, 2, 3, 4]
        await rig.log.chunk(5)
        assert await offsets(follower, 5) == [5]


async def test_what_is_published_twice_comes_once(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as follower:
        await rig.log.chunk(1)
        entries = await EventLog(rig.redis, Keys()).read("acme", "s1", after=0)
        payload = b"1 e1 chat.stream\n" + entries[0].body
        await rig.redis.execute_command("PUBLISH", Keys().event_channel("acme", "s1"), payload)
        await rig.redis.execute_command("PUBLISH", Keys().event_channel("acme", "s1"), b"nonsense")
        await rig.log.chunk(2)
        assert await offsets(follower, 2) == [1, 2]


async def test_events_are_passed_on_while_the_reader_waits_and_it_is_not_woken(rig: Rig) -> None:
    passed: list[int] = []

    def pass_on(events: Sequence[LoggedEvent]) -> bool:
        if len(passed) < 3:
            passed.extend(event.offset for event in events)
            return True
        return False

    async with rig.hub.follow("acme", "s1", pass_on=pass_on) as follower, trio.open_nursery() as nursery:
        received: list[int] = []

        async def read() -> None:
            received.extend(await offsets(follower, 5))

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1, 4):
            await rig.log.chunk(number)
            await eventually(f"the event {number} is passed on", partial(passed.count, number))
        assert not received
        for number in range(4, 6):
            await rig.log.chunk(number)
    assert (passed, received) == ([1, 2, 3], [4, 5])


async def test_nothing_is_passed_on_where_the_reader_does_not_wait_or_events_were_missed(rig: Rig) -> None:
    passed: list[int] = []

    def pass_on(events: Sequence[LoggedEvent]) -> bool:
        passed.extend(event.offset for event in events)
        return True

    async with (
        rig.hub.follow("acme", "s1", pass_on=pass_on) as follower,
        rig.hub.follow("acme", "s1") as other,
    ):
        await rig.log.chunk(1)
        assert await offsets(other, 1) == [1]
        assert await offsets(follower, 1) == [1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_receive_all, follower, [2, 3])
            await trio.testing.wait_all_tasks_blocked()
            await rig.log.chunk(2, publish=False)
            await rig.log.chunk(3)
    assert not passed


async def _receive_all(follower: Follower, expected: list[int]) -> None:
    assert await offsets(follower, expected[-1]) == expected


async def test_a_slow_reader_overflows_and_delays_no_other(rig: Rig) -> None:
    told: list[bool] = []
    async with (
        rig.hub.follow("acme", "s1", capacity=8, on_overflow=lambda: told.append(True)) as slow,
        rig.hub.follow("acme", "s1", capacity=8) as quick,
    ):
        for _ in range(20):
            last = await rig.log.status()
            assert await offsets(quick, last) == [last]
        assert told == [True]
        with pytest.raises(FollowerTooSlow):
            await slow.receive()


async def test_a_slow_reader_of_chunks_gets_them_joined(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1", capacity=8) as slow, rig.hub.follow("acme", "s1") as quick:
        for number in range(1, 51):
            await rig.log.chunk(number, f"{number},")
        await offsets(quick, 50)
        events = await slow.receive()
        assert len(events) <= 8
        assert events[-1].offset == 50
        text = "".join(data_of(event.frame)["chunk"] for event in events)
        assert text == "".join(f"{number}," for number in range(1, 51))


async def test_a_log_that_began_anew_is_told_and_can_be_resumed(rig: Rig) -> None:
    await rig.log.chunk(1)
    async with rig.hub.follow("acme", "s1") as follower:
        await rig.log.begin("e2")
        await rig.log.chunk(1)
        with pytest.raises(LogLost):
            await follower.receive()
        await follower.resume(follower.offset, follower.epoch)
        assert (follower.recovered, follower.offset, follower.epoch) == (False, 1, "e2")
        await rig.log.chunk(2)
        assert await offsets(follower, 2) == [2]


async def test_a_cancelled_receive_loses_nothing(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as follower:
        seen: list[int] = []
        for number in range(1, 30):
            await rig.log.chunk(number, publish=number % 6 != 3)
            with trio.CancelScope() as scope:
                if number % 2:
                    scope.cancel()
                seen += [event.offset for event in await follower.receive()]
        last = await rig.log.chunk(30)
        if not seen or seen[-1] < last:
            seen += await offsets(follower, last)
        assert seen == list(range(1, 31))


async def test_followers_share_a_subscription_and_the_last_one_ends_it(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as one:
        async with rig.hub.follow("acme", "s1"):
            assert await rig.log.followers() == 1
        await rig.log.chunk(1)
        assert await offsets(one, 1) == [1]
    await until_unfollowed(rig.log)


async def test_a_cancelled_follower_leaves_no_subscription(rig: Rig) -> None:
    following = trio.Event()

    async def follow() -> None:
        async with rig.hub.follow("acme", "s1") as follower:
            following.set()
            await follower.receive()

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(follow)
        await following.wait()
        nursery.cancel_scope.cancel()
    await until_unfollowed(rig.log)
    async with rig.hub.follow("acme", "s1") as follower:
        await rig.log.chunk(1)
        assert await offsets(follower, 1) == [1]


async def test_followers_that_come_and_go_at_once_get_their_events(rig: Rig) -> None:
    async def come_and_go() -> None:
        for _ in range(10):
            async with rig.hub.follow("acme", "s1") as follower:
                await rig.log.chunk(1)
                assert (await follower.receive())[0].offset == follower.offset + 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(come_and_go)
    await until_unfollowed(rig.log)


async def test_following_goes_on_after_redis_was_restarted(tmp_path: Path) -> None:
    async with (
        run_redis(tmp_path, appendonly=True, fsync="always") as server,
        open_rig(server.url) as rig,
        rig.hub.follow("acme", "s1") as one,
        rig.hub.follow("acme", "s1") as other,
    ):
        await rig.log.chunk(1)
        assert await offsets(one, 1) == [1]
        await server.kill()
        await server.start()
        async with open_redis(server.url) as fresh:
            assert await LogWriter(fresh).chunk(2) == 2
            assert await offsets(one, 2) == [2]
            assert await offsets(other, 2) == [1, 2]
            await LogWriter(fresh).chunk(3)
            assert await offsets(one, 3) == [3]


async def test_when_the_hub_stops_followers_get_what_is_in_the_log_and_then_the_end(redis_url: str) -> None:
    async with open_redis(redis_url) as redis, trio.open_nursery() as nursery:
        hub = EventHub(redis, Keys(), EventLog(redis, Keys()))
        pumping = trio.CancelScope()

        async def pump_until_stopped(*, task_status: trio.TaskStatus[None]) -> None:
            with pumping:
                await hub.run(task_status=task_status)

        await nursery.start(pump_until_stopped)
        log = LogWriter(redis)
        await log.begin()
        with trio.fail_after(PATIENCE):
            async with hub.follow("acme", "s1") as follower:
                await log.chunk(1, publish=False)
                pumping.cancel()
                assert await offsets(follower, 1) == [1]
                with pytest.raises(HubStopped):
                    await follower.receive()
            async with hub.follow("acme", "s1", after=0) as late:
                assert await offsets(late, 1) == [1]
                with pytest.raises(HubStopped):
                    await late.receive()


async def test_followers_learn_that_redis_was_emptied(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1") as follower:
        await eventually("the generation is known", partial(rig.redis.exists, Keys().generation), bool)
        await rig.redis.flushall()
        with pytest.raises(NotFound):
            await follower.receive()


async def test_a_log_that_has_lost_its_tail_goes_on_in_another_epoch(rig: Rig) -> None:
    for number in range(1, 6):
        await rig.log.chunk(number)
    async with rig.hub.follow("acme", "s1", after=0) as follower:
        assert await offsets(follower, 5) == [1, 2, 3, 4, 5]
        await rig.redis.hset(Keys().session("acme", "s1"), "offset", 3)
        follower.mark()
        with pytest.raises(LogLost):
            await follower.receive()
        await follower.resume(5, "e1")
        assert (follower.recovered, follower.offset) == (False, 3)
        assert follower.epoch != "e1"


async def test_an_offset_that_the_log_still_has_changes_no_epoch(rig: Rig) -> None:
    log = EventLog(rig.redis, Keys())
    await rig.log.chunk(1)
    assert not await log.renew_epoch("acme", "s1", 1, "e1")
    assert not await log.renew_epoch("acme", "s1", 9, "another")
    assert not await log.renew_epoch("acme", "unknown", 9)
    assert (await log.head("acme", "s1"))[1] == "e1"


async def test_a_record_or_a_log_that_can_not_be_read_is_told_as_damage(rig: Rig) -> None:
    log, keys = EventLog(rig.redis, Keys()), Keys()
    await rig.redis.xadd(keys.events("acme", "s1"), {"x": "y"}, id="0-1")
    with pytest.raises(TenantDamaged, match="event log"):
        await log.read("acme", "s1", after=0)
    await rig.redis.hset(keys.session("acme", "s1"), mapping={"offset": b"\xff", "epoch": "e"})
    with pytest.raises(TenantDamaged, match="event log"):
        await log.head("acme", "s1")


async def _turn(rig: Rig, after: int, last: int) -> list[int]:
    """Follow from an offset to another one, as the stream of a turn does."""
    async with rig.hub.follow("acme", "s1", after=after, epoch="e1", keep_seconds=30) as follower:
        return await offsets(follower, last)


async def test_a_kept_channel_tells_the_place_and_what_came_since_without_the_log(rig: Rig) -> None:
    assert rig.hub.place("acme", "s1") is None
    async with rig.hub.follow("acme", "s1", after=0, epoch="e1", keep_seconds=30) as follower:
        await rig.log.chunk(1)
        assert await offsets(follower, 1) == [1]
    assert (await rig.log.followers(), rig.hub.followers("acme", "s1")) == (1, 0)
    assert rig.hub.place("acme", "s1") == (1, "e1")
    await rig.log.chunk(2)
    await eventually("the event is known", lambda: rig.hub.place("acme", "s1"), lambda place: place == (2, "e1"))
    await rig.redis.delete(Keys().events("acme", "s1"))
    async with rig.hub.follow("acme", "s1", after=1, epoch="e1", keep_seconds=30) as follower:
        assert (follower.recovered, follower.offset, follower.epoch, follower.head) == (True, 1, "e1", 2)
        assert [event.offset for event in follower.at_hand()] == [2]
        await rig.log.chunk(3)
        assert await offsets(follower, 3) == [3]


async def test_what_a_kept_channel_has_not_heard_is_read_from_the_log(rig: Rig) -> None:
    await rig.log.chunk(1)
    assert await _turn(rig, 0, 1) == [1]
    await rig.log.chunk(2, publish=False)
    async with rig.hub.follow("acme", "s1", after=1, epoch="e1", keep_seconds=30) as follower:
        await rig.log.chunk(3)
        assert await offsets(follower, 3) == [2, 3]
    await rig.log.chunk(4, publish=False)
    await rig.log.chunk(5)
    await eventually("the last is known", lambda: rig.hub.place("acme", "s1"), lambda place: place == (5, "e1"))
    assert await _turn(rig, 3, 5) == [4, 5]


async def test_a_kept_channel_knows_nothing_of_what_was_said_before_it_broke(rig: Rig) -> None:
    await rig.log.chunk(1)
    async with rig.hub.follow("acme", "s1", after=0, epoch="e1", keep_seconds=30) as follower:
        await offsets(follower, 1)
        await rig.log.chunk(2)
        await offsets(follower, 2)
    await rig.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await eventually("the place is forgotten", lambda: rig.hub.place("acme", "s1"), lambda place: place is None)
    await rig.log.chunk(3)
    assert await _turn(rig, 2, 3) == [3]


async def test_a_kept_channel_is_left_when_its_time_is_over_and_another_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LogWriter(rig.redis, session_id="s2")
    await other.begin()
    async with rig.hub.follow("acme", "s1", keep_seconds=1e-6):
        pass
    assert await rig.log.followers() == 1
    async with rig.hub.follow("acme", "s2", keep_seconds=30):
        pass
    await until_unfollowed(rig.log)
    assert await other.followers() == 1
    monkeypatch.setattr("orchestrator.store.events.event_hub.KEPT_CHANNELS", 1)
    async with rig.hub.follow("acme", "s1", keep_seconds=30):
        pass
    await until_unfollowed(other)
    assert await rig.log.followers() == 1


async def test_a_kept_channel_is_left_by_a_follower_that_does_not_keep_it(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1", keep_seconds=30):
        pass
    async with rig.hub.follow("acme", "s1"):
        assert await rig.log.followers() == 1
    await until_unfollowed(rig.log)
    assert rig.hub.place("acme", "s1") is None


async def test_followers_that_come_and_go_at_once_lose_no_event_of_a_kept_channel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels are kept for a moment only, so that they are left while others begin to follow them."""
    monkeypatch.setattr("orchestrator.store.events.event_hub.KEPT_CHANNELS", 1)
    logs = [LogWriter(rig.redis, session_id=f"k{number}") for number in range(4)]

    async def turns(log: LogWriter) -> None:
        await log.begin()
        for number in range(1, 16):
            after, epoch = rig.hub.place("acme", log.session_id) or (number - 1, "e1")
            assert after <= number - 1
            async with rig.hub.follow(
                "acme", log.session_id, after=after, epoch=epoch, keep_seconds=0.002 * (number % 3)
            ) as follower:
                await log.chunk(number)
                assert await offsets(follower, number) == list(range(after + 1, number + 1))

    async with trio.open_nursery() as nursery:
        for log in logs:
            nursery.start_soon(turns, log)
    for log in logs:
        async with rig.hub.follow("acme", log.session_id):
            pass
        await until_unfollowed(log)


NO_EVENTS = (b"-1", b"{torn", b"[]", b"{}", b'{"data":5}', b' {"data":{}}')
"""What stands in the place of an event's body."""


@pytest.mark.parametrize("field", ["e", "n", "b"])
async def test_damaged_events_are_as_good_as_lost_and_what_follows_them_comes(rig: Rig, field: str) -> None:
    for number in range(1, 4):
        await rig.log.chunk(number)
    [entry] = await rig.redis.xrange(Keys().events("acme", "s1"), "0-2", "0-2")
    for odd in NO_EVENTS if field == "b" else (b"", b"\xff", b'a"b', b"a b"):
        await rig.redis.delete(Keys().events("acme", "s1"))
        for offset, fields in ((1, entry[1]), (2, entry[1] | {field.encode(): odd}), (3, entry[1])):
            await rig.redis.xadd(Keys().events("acme", "s1"), fields, id=f"0-{offset}")
        async with rig.hub.follow("acme", "s1", after=1, epoch="e1") as follower:
            assert (follower.recovered, follower.offset) == (False, 3), odd
        sound = await EventLog(rig.redis, Keys()).read("acme", "s1", after=0, sound_only=True)
        assert [event.offset for event in sound] == [1, 3]


async def test_a_damaged_event_on_the_way_is_told_as_a_loss(rig: Rig) -> None:
    async with rig.hub.follow("acme", "s1", after=0, epoch="e1") as follower:
        for odd in NO_EVENTS:
            offset = await rig.log.append_body("chat.stream", odd)
            with pytest.raises(LogLost):
                await follower.receive()
            await follower.resume(offset - 1, "e1")
            assert (follower.recovered, follower.offset) == (False, offset)
        last = await rig.log.chunk(1)
        assert await offsets(follower, last) == [last]


async def test_a_head_that_is_damaged_is_told_as_damage(rig: Rig) -> None:
    fields = {"epoch": (b"", b"\xff", b'a"b'), "offset": (b"-1", b"1.5", b"x", b"1_0", b"9" * 5000)}
    for name, values in fields.items():
        for odd in values:
            was = await rig.redis.hget(Keys().session("acme", "s1"), name)
            await rig.redis.hset(Keys().session("acme", "s1"), name, odd)
            with pytest.raises(TenantDamaged, match="event log"):
                await EventLog(rig.redis, Keys()).head("acme", "s1")
            await rig.redis.hset(Keys().session("acme", "s1"), name, was or b"0")
