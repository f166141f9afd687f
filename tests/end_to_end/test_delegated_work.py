"""Work that services take on and answer later, over the whole service, the sandbox and processes that are killed."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from orchestrator.models.common.principal import Role
from tests.end_to_end.stack import INTERNAL_KEY, Follower, Stack, open_stack
from tests.support.eventually import eventually
from tests.support.http import loopback_client


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        yield stack


async def ask(stack: Stack, agent: str, content: str) -> dict[str, Any]:
    """Ask an agent, and wait for its answer."""
    session_id = await stack.session(agent)
    answer: dict[str, Any] = (await stack.say(session_id, content, mode="wait"))["data"]
    return answer


async def task_of(stack: Stack, task_id: str) -> dict[str, Any]:
    async with stack.client() as client:
        task: dict[str, Any] = (await client.get(f"/api/v1/task.get/{task_id}")).json()["data"]
    return task


async def until_status(stack: Stack, task_id: str, status: str) -> dict[str, Any]:
    return await eventually(
        f"the task is {status}", lambda: task_of(stack, task_id), lambda task: task["status"] == status
    )


async def tell(stack: Stack, action: str, task_id: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with loopback_client(base_url=stack.node.url) as client:
        return await client.post(
            f"/internal/v1/task.{action}/{task_id}",
            json=body,
            headers={"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme", **headers},
        )


async def test_what_is_answered_later_ends_the_turn_as_what_is_answered_at_once(stack: Stack) -> None:
    answer = await ask(stack, "delegate", "Good things take time")
    assert answer["content"] == "Good things take time"
    assert answer["usage"]["total_tokens"] > 0
    answer = await ask(stack, "reporter", "tides in 200 ms")
    assert answer["content"] == "There is nothing new about tides."


async def test_services_that_are_asked_through_queues_may_answer_later_too(tmp_path: Path) -> None:
    async with open_stack(tmp_path, transport="queue") as stack:
        await stack.start()
        assert (await ask(stack, "delegate", "Good things take time"))["content"] == "Good things take time"
        assert (await ask(stack, "reporter", "tides in 20 ms"))["content"] == "There is nothing new about tides."


async def test_followers_hear_of_a_turn_that_is_answered_later(stack: Stack) -> None:
    async with trio.open_nursery() as nursery:
        follower = Follower(await stack.session("delegate"), stack.token())
        nursery.start_soon(follower.run, stack)
        message = await stack.say(follower.session_id, "Hello later")
        await follower.until("chat.completed")
        nursery.cancel_scope.cancel()
    assert follower.shown(message["data"]["message_id"]) == "Hello later"
    statuses = [frame["data"] for frame in follower.frames if frame["type"]["action"] == "status_update"]
    assert any(data.get("progress") == 0.0 for data in statuses)
    assert follower.names().count("chat.completed") == 1


async def test_after_kill_9_another_process_ends_delegated_turns(stack: Stack) -> None:
    sessions = [await stack.session(agent) for agent in ("reporter", "delegate")]
    report = await stack.say(sessions[0], "tides in 1500 ms")
    words = await stack.say(sessions[1], "echo 15 words every 100 ms")
    tasks = [message["data"]["task_id"] for message in (report, words)]
    for task_id in tasks:
        await until_status(stack, task_id, "waiting")
    await stack.node.kill()
    await stack.start()
    results = [(await until_status(stack, task_id, "completed"))["result"]["content"] for task_id in tasks]
    assert results[0] == "There is nothing new about tides."
    assert len(results[1].split()) == 15


async def test_items_of_batches_may_be_answered_later(stack: Stack) -> None:
    asked = (("delegate", "Later", "Later"), ("reporter", "tides in 20 ms", "There is nothing new about tides."))
    async with stack.client(stack.token(role=Role.OPERATOR)) as client:
        for agent, content, answer in asked:
            body = {"agent_id": agent, "items": [{"content": content}] * 3}
            batch_id = (await client.post("/api/v1/batch.create", json=body)).json()["data"]["batch_id"]
            await eventually(
                "the batch has ended",
                partial(client.get, f"/api/v1/batch.get/{batch_id}"),
                lambda answer: answer.json()["data"]["finished_at"],
            )
            results = (await client.get(f"/api/v1/batch.results/{batch_id}")).json()["data"]["items"]
            assert [item["result"]["content"] for item in results] == [answer] * 3


async def test_a_cancel_of_a_waiting_turn_reaches_the_service(stack: Stack) -> None:
    session_id = await stack.session("delegate")
    message = (await stack.say(session_id, "echo 1000 words every 100 ms"))["data"]
    await until_status(stack, message["task_id"], "waiting")
    async with stack.client() as client:
        await client.post(f"/api/v1/chat.cancel/{message['message_id']}")
    assert (await task_of(stack, message["task_id"]))["status"] == "cancelled"
    async with stack.client() as client:

        async def cancels() -> list[dict[str, Any]]:
            answer = await client.get("/api/v1/task.list", params={"type": "delegation.cancel"})
            items: list[dict[str, Any]] = answer.json()["data"]["items"]
            return items

        (told,) = await eventually(
            "the service is told", cancels, lambda items: any(task["status"] == "completed" for task in items)
        )
    assert told["result"] == {"cancelled": ["execute.0"]}


async def test_only_the_holder_of_the_callback_token_may_answer(stack: Stack) -> None:
    message = (await stack.say(await stack.session("reporter"), "tides in 5000 ms"))["data"]
    task_id = message["task_id"]
    await until_status(stack, task_id, "waiting")
    forged = await tell(stack, "complete", task_id, {"result": 1}, **{"X-Callback-Token": "a-guess"})
    assert (forged.status_code, forged.json()["error"]["code"]) == (403, "ORCH_AUTH_003")
    silent = await tell(stack, "complete", task_id, {"result": 1})
    assert (silent.status_code, silent.json()["error"]["code"]) == (403, "ORCH_AUTH_003")
    unknown = await tell(stack, "fail", "no-such-task", {"error": {"code": "X", "message": "y"}, "callback_token": "z"})
    assert unknown.status_code == 404
    elsewhere = await tell(
        stack, "complete", task_id, {"result": 1}, **{"X-Callback-Token": "a-guess", "X-Tenant-ID": "globex"}
    )
    assert elsewhere.status_code == 404
    assert (await task_of(stack, task_id))["status"] == "waiting"


async def test_many_turns_that_are_answered_later_all_end_once(stack: Stack) -> None:
    messages = []
    for number in range(12):
        session_id = await stack.session("delegate" if number % 2 else "reporter")
        content = f"echo {number} words" if number % 2 else f"topic{number} in {number * 10} ms"
        messages.append((await stack.say(session_id, content))["data"]["task_id"])
    for task_id in messages:
        task = await until_status(stack, task_id, "completed")
        assert task["attempt"] <= 3
