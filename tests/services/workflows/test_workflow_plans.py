"""Plans of users' own, workflows in batches, later, with callbacks and done again."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.services.workflows.house import House, open_house
from tests.support.callback_receiver import open_receiver
from tests.support.credentials import SECRET
from tests.support.documented import documented
from tests.support.eventually import eventually


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, callback_allow=("127.0.0.1",)) as house:
        yield house


def tool(tool_id: str, parameters: Any, operation: str = "execute", **fields: Any) -> dict[str, Any]:
    return {
        "service": "tool_registry",
        "operation": operation,
        "parameters": {"tool_id": tool_id, "parameters": parameters},
        **fields,
    }


ASK = {
    "service": "agent_execution",
    "operation": "execute",
    "parameters": {"agent_id": "echo", "query": "$.input.text"},
}
COUNT = tool("word_count", {"text": "$.calls.ask.result.response"}, depends_on=["ask"])
BROKEN = tool("calculator", {"expression": "1 / 0"}, optional=True)


async def run(house: House, plan: Any, given: Any = None, **fields: Any) -> Any:
    """Run a plan to its end; returns its results."""
    asked = {"plan": plan, "input": given or {}, "mode": "wait", **fields}
    return await house.call("POST", "workflow.execute", asked)


async def test_a_plan_runs_in_order_and_tells_how_far_it_is(house: House) -> None:
    asked = {"plan": {"calls": {"ask": ASK, "count": COUNT}}, "input": {"text": "two words"}, "mode": "stream"}
    told = (await house.call("POST", "workflow.execute", asked)).text
    events = [documented(orjson.loads(line[6:]))["data"] for line in told.split("\n") if line.startswith("data: ")]
    assert [event["steps_completed"] for event in events] == sorted(event["steps_completed"] for event in events)
    assert [(event["status"], event["progress"]) for event in (events[0], events[-1])] == [
        ("queued", 0),
        ("completed", 1),
    ]
    assert {event["current_step"] for event in events[1:-1]} == {"ask", "count"}
    results = await house.results(events[0]["task_id"])
    assert results["result"]["results"]["count"]["result"] == {"words": 2, "characters": 9}
    assert [*results["calls"]] == ["ask", "count"]


async def test_a_plan_reaches_what_is_its_users_and_nothing_of_another_user(house: House) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    asked = {"session_id": session_id, "content": "Between us", "mode": "wait"}
    await house.call("POST", "chat.message", asked)

    def calling(service: str, operation: str, **parameters: Any) -> Any:
        calls = {"look": {"service": service, "operation": operation, "parameters": parameters}}
        return {"plan": {"calls": calls}, "input": {"id": session_id}, "mode": "wait"}

    message = {"role": "user", "content": "Hi"}
    plans = [
        calling("conversation", "messages", conversation_id=session_id),
        calling("conversation", "messages", conversation_id="$.input.id"),
        calling("conversation", "context", conversation_id=session_id),
        calling("conversation", "append", conversation_id=session_id, **message),
        calling("conversation", "delete", conversation_id=session_id, message_id="m"),
        calling("conversation", "create", conversation_id=session_id, user_id="bob", agent_id="echo"),
        calling("conversation", "create", session_id=session_id, user_id="bob", agent_id="echo"),
    ]
    before = dict(house.sandbox.calls)
    for plan in plans:
        assert (await house.call("POST", "workflow.execute", plan, user="bob")).fault == (404, "ORCH_NOTF_001")
    assert dict(house.sandbox.calls) == before
    own = await house.call("POST", "workflow.execute", plans[0])
    assert own.data["result"]["results"]["look"]["messages"][0]["content"] == "Between us"


async def test_a_plan_reaches_nothing_of_another_user_by_other_names_or_after_records_have_gone(
    house: House, redis_url: str
) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    said = await house.call("POST", "chat.message", {"session_id": session_id, "content": "Ours", "mode": "wait"})
    message_ids = [said.data["message_id"], said.data["parent_message_id"]]
    calls = {
        "messages": {},
        "context": {},
        "append": {"role": "user", "content": "x"},
        "delete": {"message_id": message_ids[0]},
    }

    async def refused(operation: str, service: str = "conversation", **parameters: Any) -> None:
        plan = {"calls": {"it": {"service": service, "operation": operation, "parameters": parameters}}}
        before = dict(house.sandbox.calls)
        reply = await house.call("POST", "workflow.execute", {"plan": plan, "mode": "wait"}, user="bob")
        assert reply.fault == (404, "ORCH_NOTF_001"), reply.text
        assert dict(house.sandbox.calls) == before

    spellings = [session_id.upper(), session_id.replace("-", ""), f"{{{session_id}}}", f" {session_id}"]
    for spelling in spellings:
        for operation, more in calls.items():
            await refused(operation, conversation_id=spelling, **more)
        await refused("create", conversation_id=spelling, user_id="bob", agent_id="echo")
    async with open_redis(redis_url) as redis:
        await redis.delete(Keys().session("acme", session_id))
    for operation, more in calls.items():
        await refused(operation, conversation_id=session_id, **more)
    await refused("create", conversation_id=session_id, user_id="bob", agent_id="echo")
    for message_id in [*message_ids, "unknown"]:
        await refused("feedback", "agent_management", agent_id="echo", rating=1, message_id=message_id)


async def test_a_conversation_that_a_plan_has_begun_is_its_users_in_later_plans(house: House) -> None:
    def calling(operation: str, **parameters: Any) -> Any:
        return {"calls": {"it": {"service": "conversation", "operation": operation, "parameters": parameters}}}

    begun = await run(house, calling("create", user_id="ann", agent_id="echo", conversation_id="diary"))
    assert begun.data["result"]["results"]["it"]["conversation_id"] == "diary"
    unnamed = await run(house, calling("create", user_id="ann", agent_id="echo"))
    for name in ("diary", unnamed.data["result"]["results"]["it"]["conversation_id"]):
        said = await run(house, calling("append", conversation_id=name, role="user", content="Dear diary"))
        assert said.status == 200, said.text
        for plan in (
            calling("messages", conversation_id=name),
            calling("create", user_id="bob", agent_id="echo", conversation_id=name),
        ):
            other = await house.call("POST", "workflow.execute", {"plan": plan, "mode": "wait"}, user="bob")
            assert other.fault == (404, "ORCH_NOTF_001")


async def test_a_plan_rates_its_users_own_answers(house: House) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    said = await house.call("POST", "chat.message", {"session_id": session_id, "content": "hi", "mode": "wait"})
    given = {"agent_id": "echo", "rating": 5, "message_id": said.data["message_id"], "session_id": session_id}
    rate = {"service": "agent_management", "operation": "feedback", "parameters": given}
    assert (await run(house, {"calls": {"rate": rate}})).status == 200


async def test_a_plan_tells_of_an_agent_what_users_are_told(house: House) -> None:
    look = {"service": "agent_management", "operation": "get", "parameters": {"agent_id": "echo"}}
    agent = (await run(house, {"calls": {"look": look}})).data["result"]["results"]["look"]
    assert (agent["name"], agent["system_prompt"]) == ("Echo", None)


async def test_a_plan_that_fails_in_part_says_what_failed(house: House) -> None:
    done = await run(house, {"calls": {"ask": ASK, "broken": BROKEN}}, {"text": "hi"})
    assert (done.status, done.data["status"]) == (200, "partial")
    assert [*done.data["result"]["failed"]] == ["broken"]
    assert done.data["result"]["results"]["ask"]["response"] == "hi"


async def test_a_plan_waits_for_a_tool_that_answers_later(house: House) -> None:
    later = tool("slow_report", {"topic": "tides", "duration_ms": 100}, "async_execute")
    done = await run(house, {"calls": {"report": later}})
    assert (done.status, done.data["status"]) == (200, "completed")
    assert "tides" in str(done.data["result"]["results"]["report"])
    # How far the tool was is not how far the plan is.
    status = await house.status(done.data["task_id"])
    assert (status["steps_completed"], status["steps_total"], status["current_step"]) == (1, 1, None)


async def test_a_plan_may_run_a_known_workflow_that_asks_the_user(house: House) -> None:
    parameters = {"workflow_id": "approval", "input": {"text": "$.input.text"}}
    calls = {"inner": {"service": "workflow_engine", "operation": "execute", "parameters": parameters}}
    asked = {"plan": {"calls": calls}, "input": {"text": "Hello"}}
    task_id = (await house.call("POST", "workflow.execute", asked)).data["task_id"]
    waiting = await house.until(task_id, "waiting")
    assert (waiting["input_request"]["node_id"], waiting["steps_total"]) == ("ask", 1)
    given = {"node_id": "ask", "input": {"approved": True}}
    assert (await house.call("POST", f"workflow.input/{task_id}", given)).status == 202
    await house.until(task_id, "completed")
    results = (await house.results(task_id))["result"]["results"]
    assert results["inner"]["results"]["send"] == "Hello"


async def test_a_plan_that_runs_is_stopped(house: House) -> None:
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.HANG, "tool_registry"))
    asked = {"plan": {"calls": {"ask": ASK, "count": COUNT}}, "input": {"text": "hi"}}
    task_id = (await house.call("POST", "workflow.execute", asked)).data["task_id"]
    await eventually("it counts", lambda: house.status(task_id), lambda now: now["current_step"] == "count")
    assert (await house.call("DELETE", f"workflow.cancel/{task_id}")).data["cancelled"]
    stopped = await house.until(task_id, "cancelled")
    assert (stopped["steps_completed"], stopped["steps_total"], stopped["cancelled_by"]) == (1, 2, "user")
    assert [*(await house.results(task_id))["calls"]] == ["ask"]


async def test_a_plan_that_failed_is_done_again_from_the_call_that_did(house: House) -> None:
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "tool_registry", "execute", status=400, count=1))
    failed = await run(house, {"calls": {"ask": ASK, "count": COUNT}}, {"text": "once only"})
    assert failed.status == 502
    [task] = (await house.call("GET", "task.list")).data["items"]
    operator = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'op', Role.OPERATOR)}"}
    replay = f"{house.url}/api/v1/task.replay/{task['task_id']}"
    answer = (await house.http.post(replay, json={"from_call": "count"}, headers=operator)).json()["data"]
    assert answer["reused"] == ["ask"]
    again = await house.until(answer["task_id"], "completed")
    assert (again["steps_completed"], again["progress"]) == (2, 1.0)
    assert house.sandbox.calls["agent_execution", "execute"] == 1


async def test_a_known_workflow_is_done_again_with_the_steps_that_were_done(house: House) -> None:
    task_id = await house.start("failing")
    await house.until(task_id, "failed")
    operator = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'op', Role.OPERATOR)}"}
    replay = f"{house.url}/api/v1/task.replay/{task_id}"
    answer = (await house.http.post(replay, json={"from_call": "step:unsound"}, headers=operator)).json()["data"]
    assert answer["reused"] == ["step:sound"]
    await house.until(answer["task_id"], "failed")
    assert house.sandbox.calls["workflow_engine", "execute"] == 2
    assert house.sandbox.calls["tool_registry", "execute"] == 3


async def test_a_workflow_runs_for_every_item_of_a_batch(house: House) -> None:
    items = [{"input": {"expression": f"{number} * 2"}, "metadata": {"n": number}} for number in range(4)]
    items[2] = {"input": {"expression": "1 / 0"}}
    created = await house.call(
        "POST", "batch.create", {"workflow_id": "arithmetic", "items": items, "max_concurrency": 2}
    )
    assert (created.status, created.data["workflow_id"], created.data["agent_id"]) == (202, "arithmetic", None)
    batch_id = created.data["batch_id"]
    batch = await eventually("the batch has ended", lambda: house.batch(batch_id), lambda now: now["finished_at"])
    assert (batch["status"], batch["completed"], batch["failed"]) == ("partial", 3, 1)
    results = (await house.call("GET", f"batch.results/{batch_id}")).data["items"]
    assert [item["result"] and item["result"]["results"]["work_out"] for item in results] == [0, 2, None, 6]
    assert results[3]["metadata"] == {"n": 3}
    assert (await house.status(f"{batch_id}.0"))["status"] == "completed"


async def test_items_that_ask_their_user_are_answered_and_stopped_like_others(house: House) -> None:
    asked = {"workflow_id": "approval", "items": [{"input": {"text": "a"}}, {"input": {"text": "b"}}]}
    batch_id = (await house.call("POST", "batch.create", asked)).data["batch_id"]
    async with house.socket(f"/ws/v1/workflow/{batch_id}.0") as client:
        await client.until("workflow.input_request")
        await client.say("workflow.input", {"node_id": "ask", "input": {"approved": True}})
        await client.until("workflow.status_update", status="completed")
    await house.until(f"{batch_id}.1", "waiting")
    assert (await house.call("DELETE", f"batch.cancel/{batch_id}")).data["cancelled"]
    assert (await house.status(f"{batch_id}.1"))["status"] == "cancelled"
    assert (await house.batch(batch_id))["status"] == "cancelled"
    await eventually("the engine is told to stop", lambda: house.sandbox.calls["workflow_engine", "cancel"])


async def test_workflows_and_batches_begin_when_they_are_meant_to(house: House) -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    task_id = await house.start("arithmetic", {"expression": "1 + 1"}, scheduled_for=moment)
    asked = {
        "agent_id": "echo",
        "items": [{"content": "a"}, {"content": "b"}],
        "max_concurrency": 1,
        "scheduled_for": moment,
    }
    batch_id = (await house.call("POST", "batch.create", asked)).data["batch_id"]
    stopped = await house.start("arithmetic", {"expression": "1 + 1"}, scheduled_for=moment)
    assert (await house.status(task_id))["status"] == "pending"
    batch = await house.batch(batch_id)
    assert (batch["pending"], batch["scheduled_for"] is not None) == (2, True)
    assert (await house.call("DELETE", f"workflow.cancel/{stopped}")).data["cancelled"]
    done = await house.until(task_id, "completed")
    assert done["started_at"] >= done["scheduled_for"]
    await eventually("both items have ended", lambda: house.batch(batch_id), lambda now: now["completed"] == 2)
    ended = await house.status(stopped)
    assert (ended["status"], ended["cancelled_by"]) == ("cancelled", "user")


async def test_the_end_of_a_workflow_is_told_to_a_server_that_asked_for_it(house: House) -> None:
    async with open_receiver() as receiver:
        callback = {"url": receiver.url(), "events": ["workflow.completed", "workflow.failed"]}
        cancelled = await house.start("approval", callback=callback)
        await house.until(cancelled, "waiting")
        await house.call("DELETE", f"workflow.cancel/{cancelled}")
        task_id = await house.start("arithmetic", {"expression": "20 + 1"}, callback=callback)
        await eventually(
            "the callback is delivered",
            lambda: house.status(task_id),
            lambda now: now["callback"]["status"] == "delivered",
        )
        [delivery] = receiver.deliveries
        told = orjson.loads(delivery.body)
        assert (told["type"], told["data"]["task_id"]) == ("workflow.completed", task_id)
        assert told["data"]["result"]["results"]["work_out"] == 21
        assert (await house.status(cancelled))["callback"]["status"] == "waiting"
