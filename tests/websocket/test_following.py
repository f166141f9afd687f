"""What a client sees of the log: everything, once, in order."""

import orjson
import pytest
import trio
from attrs import evolve

from orchestrator.errors import TenantDamaged
from orchestrator.models.events.events import SystemNotification, ToolExecute
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.keys import Keys
from orchestrator.websocket import closing
from tests.support.eventually import eventually
from tests.websocket.stage import Client, Stage, open_stage

LARGE = SystemNotification("large", "x" * 500_000)


async def offsets(client: Client, until: int) -> list[int]:
    """Read frames up to an offset; returns all offsets that came."""
    seen: list[int] = []
    while not seen or seen[-1] < until:
        seen.append((await client.frame())["offset"])
    return seen


async def test_events_come_as_they_are_appended(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for number, text in enumerate(("Hel", "lo"), 1):
            await stage.log.chunk(number, text)
            frame = await client.next("chat.stream")
            assert (frame["offset"], frame["epoch"], frame["data"]["chunk"]) == (number, "e1", text)


async def test_two_sockets_of_a_session_see_the_same(stage: Stage) -> None:
    async with stage.client() as one, stage.client() as other:
        for client in (one, other):
            await client.next("session.state_update")
        await stage.log.chunk(1)
        assert await one.frame() == await other.frame()


async def test_a_client_resumes_after_every_offset(stage: Stage) -> None:
    for number in range(1, 6):
        await stage.log.chunk(number)
    for after in range(6):
        async with stage.client(f"/ws/v1/chat/s1?last_offset={after}&epoch=e1") as client:
            first = await client.next("session.state_update")
            assert first["data"]["recovered"]
            assert first["offset"] == after
            last = await stage.log.chunk(9)
            assert await offsets(client, last) == list(range(after + 1, last + 1))


@pytest.mark.parametrize("query", ["last_offset=2&epoch=old", "last_offset=99&epoch=e1"])
async def test_what_can_not_be_recovered_is_followed_by_a_snapshot(stage: Stage, query: str) -> None:
    for number in range(1, 4):
        await stage.log.chunk(number)
    async with stage.client(f"/ws/v1/chat/s1?{query}") as client:
        first = await client.next("session.state_update")
        assert not first["data"]["recovered"]
        assert first["offset"] == 3
        snapshot = await client.next("session.snapshot")
        assert [message["content"] for message in snapshot["data"]["messages"]] == ["hello"]
        await stage.log.chunk(4)
        assert await offsets(client, 4) == [4]


async def test_a_log_that_was_cut_can_not_be_recovered(stage: Stage) -> None:
    for number in range(1, 9):
        await stage.log.chunk(number, keep=3)
    async with stage.client("/ws/v1/chat/s1?last_offset=1&epoch=e1") as client:
        assert not (await client.next("session.state_update"))["data"]["recovered"]
        await client.next("session.snapshot")


async def test_a_client_may_sync_on_an_open_socket(stage: Stage) -> None:
    for number in range(1, 4):
        await stage.log.chunk(number)
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("session.sync", {"last_offset": 1, "epoch": "e1"}, correlation_id="again")
        frame = await client.next("session.state_update")
        assert (frame["correlation_id"], frame["offset"], frame["data"]["recovered"]) == ("again", 1, True)
        assert await offsets(client, 3) == [2, 3]
        await stage.log.chunk(4)
        assert await offsets(client, 4) == [4]
        await client.say("session.sync", {"last_offset": 1, "epoch": "other"})
        assert not (await client.next("session.state_update"))["data"]["recovered"]
        await client.next("session.snapshot")


async def test_a_log_that_began_anew_is_told_on_the_open_socket(stage: Stage) -> None:
    await stage.log.chunk(1)
    async with stage.client() as client:
        await client.next("session.state_update")
        await stage.log.begin("e2")
        await stage.log.chunk(1)
        frame = await client.next("session.state_update")
        assert (frame["data"]["recovered"], frame["epoch"], frame["offset"]) == (False, "e2", 1)
        await client.next("session.snapshot")
        await stage.log.chunk(2)
        assert await offsets(client, 2) == [2]


async def test_a_socket_ends_with_its_session(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await stage.log.state(SessionState.PROCESSING)
        await stage.log.state(SessionState.TERMINATED)
        await stage.log.chunk(1)
        states = [(await client.next("session.state_update"))["data"] for _ in range(2)]
        assert [state["state"] for state in states] == ["PROCESSING", "TERMINATED"]
        assert [state["offset"] for state in states] == [1, 2]
        assert await client.close_code() == 1000


async def test_a_client_that_never_reads_is_dropped_and_delays_no_other(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 0.2)
    async with open_stage(redis_url, ws_outbox=8) as stage, trio.open_nursery() as nursery:
        async with stage.client() as quick:
            await quick.next("session.state_update")
            slow = await nursery.start(_never_read, stage)
            # The kernels between the two take megabytes, so what waits is large; and it can't be joined.
            for _ in range(60):
                offset = await stage.log.append("system.notification", LARGE)
                assert (await quick.frame())["offset"] == offset
            await stage.until_open(1)
        slow.cancel()


async def _never_read(stage: Stage, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    stream = await trio.open_tcp_stream(stage.host, stage.port)
    async with stream:
        await stream.send_all(stage.handshake())
        assert (await stream.receive_some(12)).endswith(b"101")
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.sleep_forever()


async def test_a_client_that_reads_too_slowly_is_told_so(redis_url: str) -> None:
    async with open_stage(redis_url, ws_outbox=8) as stage, stage.client() as quick, stage.client() as slow:
        await quick.next("session.state_update")
        await slow.next("session.state_update")
        for _ in range(30):
            await stage.log.append("system.notification", LARGE)
            await quick.frame()
        assert await slow.close_code() == 4008


async def test_a_client_that_reads_late_gets_every_event_in_order(stage: Stage) -> None:
    async with stage.client() as quick, stage.client() as late:
        await quick.next("session.state_update")
        await late.next("session.state_update")
        # More than the kernels between the two take, in pieces that are written without waiting as long as they do.
        piece = SystemNotification("piece", "x" * 60_000)
        appended = [await stage.log.append("system.notification", piece) for _ in range(120)]
        appended += [await stage.log.chunk(number) for number in range(1, 11)]
        assert await offsets(quick, appended[-1]) == appended
        assert await offsets(late, appended[-1]) == appended


async def test_sockets_that_end_leave_no_subscription(stage: Stage) -> None:
    async with stage.client() as one, stage.client() as other:
        await one.next("session.state_update")
        await other.next("session.state_update")
        assert await stage.log.followers() == 1
    await stage.until_open(0)
    await eventually("nothing follows", stage.log.followers, lambda count: count == 0)


async def test_a_client_that_vanishes_leaves_nothing(stage: Stage) -> None:
    async with await trio.open_tcp_stream(stage.host, stage.port) as stream:
        await stream.send_all(stage.handshake())
        assert (await stream.receive_some(12)).endswith(b"101")
        await stage.until_open(1)
    await stage.until_open(0)


async def test_frames_of_the_sockets_own_never_carry_an_offset_that_the_client_has_passed(stage: Stage) -> None:
    async def write() -> None:
        for number in range(300):
            await stage.log.chunk(number + 1)

    async with stage.client() as client, trio.open_nursery() as nursery:
        await client.next("session.state_update")
        nursery.start_soon(write)
        for number in range(100):
            await client.say("system.ping", {"client_timestamp": number})
        seen: list[int] = []
        while len(seen) < 400:
            seen.append((await client.frame())["offset"])
    assert (seen == sorted(seen), seen[-1]) == (True, 300)


async def test_a_client_that_comes_in_the_middle_of_a_turn_sees_it_from_its_acceptance_on(stage: Stage) -> None:
    for number in range(1, 6):
        await stage.log.chunk(number)
    stage.sessions.keep(evolve(stage.sessions.kept["s1"], active_task_id="t1"))
    stage.transcripts.begins = 2
    async with stage.client() as client:
        first = await client.next("session.state_update")
        assert (first["offset"], first["data"]["recovered"]) == (2, True)
        assert await offsets(client, 5) == [3, 4, 5]


async def test_a_snapshot_has_what_the_running_turn_asks_of_the_client(stage: Stage) -> None:
    for call_id in ("c1", "c2"):
        await stage.log.append("tool.execute", ToolExecute(call_id, "m1", "clock", {"zone": "utc"}, 1000))
    stage.transcripts.waits, stage.transcripts.streamed = frozenset({"c2"}), "It is"
    async with stage.client("/ws/v1/chat/s1?last_offset=1&epoch=old") as client:
        await client.next("session.state_update")
        snapshot = (await client.next("session.snapshot"))["data"]
    assert snapshot["answer"] == "It is"
    assert [(one["tool_call_id"], one["params"]) for one in snapshot["tool_requests"]] == [("c2", {"zone": "utc"})]


async def test_a_damaged_event_is_told_as_a_loss_on_the_open_socket(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for body in (b"[]", b'{"data":{"state":{}}}'):
            await stage.log.append_body("session.state_update", body)
        frame = await client.next("session.state_update")
        assert (frame["data"]["recovered"], frame["offset"]) == (False, 2)
        await client.next("session.snapshot")
        await stage.log.chunk(3)
        assert await offsets(client, 3) == [3]


async def test_what_an_event_lacks_ends_no_socket(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for name in ("session.state_update", "chat.status_update"):
            for data in (b"{}", b'{"state":[],"status":{}}'):
                offset = await stage.log.append_body(name, b'{"data":%b}' % data)
                assert orjson.loads(await client.socket.get_message())["offset"] == offset


async def test_a_record_that_is_damaged_meanwhile_closes_the_socket_so_that_the_client_comes_back(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await stage.redis.hset(Keys().session("acme", "s1"), "offset", "many")
        await stage.redis.publish(Keys().event_channel("acme", "s1"), b"odd")
        assert await client.close_code() == TenantDamaged.close_code == 1013
