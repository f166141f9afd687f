"""Processes that die or stop while turns run: nothing is lost, nothing comes twice."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.end_to_end.stack import Follower, Stack, open_stack
from tests.support.eventually import PATIENCE

TURNS = 50
WORDS = 40
CONTENT = f"echo {WORDS} words every 15 ms"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path) as stack:
        yield stack


async def follow_turns(stack: Stack, nursery: trio.Nursery, count: int) -> tuple[list[Follower], list[str]]:
    """Begin a turn in each of `count` sessions, and follow each."""
    followers = []
    for _ in range(count):
        follower = Follower(await stack.session(), stack.token())
        nursery.start_soon(follower.run, stack)
        followers.append(follower)
    answers = [await stack.say(follower.session_id, CONTENT) for follower in followers]
    return followers, [answer["data"]["message_id"] for answer in answers]


def assert_followed_without_gap_or_double(follower: Follower) -> None:
    offsets = [frame["offset"] for frame in follower.frames]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    assert len({frame["epoch"] for frame in follower.frames}) == 1


async def test_after_kill_9_every_turn_is_answered_once_and_every_socket_resumes(stack: Stack) -> None:
    await stack.start()
    async with trio.open_nursery() as nursery:
        followers, messages = await follow_turns(stack, nursery, TURNS)
        for follower in followers:
            await follower.until("chat.stream")
        await stack.node.kill()
        await stack.start()
        for follower in followers:
            await follower.until("chat.completed")
            await follower.until("session.state_update", 2)
        for follower, message_id in zip(followers, messages, strict=True):
            assert_followed_without_gap_or_double(follower)
            assert follower.names().count("chat.completed") == 1
            [answer] = [frame["data"] for frame in follower.frames if frame["type"]["action"] == "completed"]
            assert len(answer["content"].split()) == WORDS
            assert follower.shown(message_id) == answer["content"]
            history = await stack.history(follower.session_id)
            assert history == [("user", CONTENT), ("assistant", answer["content"])]
        assert any("chat.stream_reset" in follower.names() for follower in followers)
        nursery.cancel_scope.cancel()


async def test_a_stop_in_order_lets_turns_finish_and_tells_the_sockets_to_come_back(stack: Stack) -> None:
    await stack.start()
    async with trio.open_nursery() as nursery:
        followers, messages = await follow_turns(stack, nursery, 10)
        for follower in followers:
            await follower.until("chat.stream")
        old = stack.node
        await stack.start()
        assert await old.stop() == 0
        for follower in followers:
            await follower.until("chat.completed")
        for follower, message_id in zip(followers, messages, strict=True):
            assert follower.closes == [1012]
            assert_followed_without_gap_or_double(follower)
            assert "chat.stream_reset" not in follower.names()
            assert len(follower.shown(message_id).split()) == WORDS
        nursery.cancel_scope.cancel()


async def test_a_stop_that_can_not_wait_hands_turns_back_and_another_process_goes_on_at_once(stack: Stack) -> None:
    await stack.start(drain_timeout="0.1")
    async with trio.open_nursery() as nursery:
        followers, messages = await follow_turns(stack, nursery, 5)
        for follower in followers:
            await follower.until("chat.stream")
        old = stack.node
        await stack.start()
        assert await old.stop() == 0
        for follower in followers:
            await follower.until("chat.completed")
        for follower, message_id in zip(followers, messages, strict=True):
            assert_followed_without_gap_or_double(follower)
            assert len(follower.shown(message_id).split()) == WORDS
        nursery.cancel_scope.cancel()


async def test_a_waiting_client_is_told_at_once_that_another_process_will_answer(stack: Stack) -> None:
    await stack.start(drain_timeout="0.1")
    answers: dict[str, Any] = {}

    async def wait_for_it(mode: str, session_id: str) -> None:
        async with stack.client() as client:
            body = {"session_id": session_id, "content": "echo 2000 words every 20 ms", "mode": mode}
            answers[mode] = await client.post("/api/v1/chat.message", json=body)

    async with trio.open_nursery() as followers, trio.open_nursery() as waiting:
        for mode in ("wait", "stream"):
            follower = Follower(await stack.session(), stack.token())
            followers.start_soon(follower.run, stack)
            waiting.start_soon(wait_for_it, mode, follower.session_id)
            await follower.until("chat.stream")
        with trio.fail_after(PATIENCE):
            assert await stack.node.stop() == 0
        followers.cancel_scope.cancel()
    assert (answers["wait"].status_code, answers["wait"].json()["data"]["status"]) == (202, "queued")
    assert answers["stream"].text.endswith(": the turn goes on; ask again with Last-Event-ID\n")


async def test_clients_that_never_pause_do_not_hold_up_a_stop(stack: Stack) -> None:
    await stack.start(drain_timeout="20")

    async def hurry(*, task_status: trio.TaskStatus[None]) -> None:
        # Each request is sent before the answer to the last one is read, so one is always on its way.
        host, port = stack.node.url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            await nursery.start(hurry)
        with trio.fail_after(PATIENCE):
            assert await stack.node.stop() == 0


async def test_two_processes_share_one_redis_and_each_shows_what_the_other_does(stack: Stack) -> None:
    first = await stack.start()
    session_id = await stack.session()
    await stack.start()
    async with trio.open_nursery() as nursery:
        follower = Follower(session_id, stack.token())
        nursery.start_soon(follower.run, stack)
        stack.nodes.append(first)
        for number in range(6):
            answer = await stack.say(session_id, f"number {number}", mode="wait")
            assert answer["data"]["content"] == f"number {number}"
        await follower.until("chat.completed", 6)
        assert_followed_without_gap_or_double(follower)
        nursery.cancel_scope.cancel()
        stack.nodes.pop()


async def test_redis_may_be_away_for_a_while_in_the_middle_of_a_turn(stack: Stack) -> None:
    await stack.start()
    async with trio.open_nursery() as nursery:
        [follower], [message_id] = await follow_turns(stack, nursery, 1)
        await follower.until("chat.stream")
        await stack.redis.kill()
        refused = await stack.say(follower.session_id, "meanwhile")
        assert refused["error"]["code"] == "ORCH_SYS_002"
        async with stack.client() as client:
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/live")).status_code == 200
        await stack.redis.start()
        await follower.until("chat.completed")
        assert_followed_without_gap_or_double(follower)
        assert len(follower.shown(message_id).split()) == WORDS
        assert (await stack.say(follower.session_id, "again", mode="wait"))["data"]["content"] == "again"
        nursery.cancel_scope.cancel()
