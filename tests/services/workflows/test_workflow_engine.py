"""Workflows that the Workflow Engine runs, from the request to the end."""

from collections.abc import AsyncIterator

import orjson
import pytest

from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.services.workflows.house import House, open_house
from tests.support.documented import documented
from tests.support.eventually import eventually

ENGINE = "workflow_engine"


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


async def test_a_sequence_runs_and_a_waiting_client_gets_its_results(house: House) -> None:
    asked = {"workflow_id": "arithmetic", "input": {"expression": "12 * 7"}, "mode": "wait"}
    done = await house.call("POST", "workflow.execute", asked)
    assert (done.status, done.json["type"]) == (200, {"domain": "workflow", "action": "results"})
    assert (done.data["status"], done.data["result"]["results"]) == ("completed", {"work_out": 84, "say": "84"})
    assert done.data["calls"]["step:work_out"] == {"status": "success", "result": 84, "error_message": None}
    status = await house.status(done.data["task_id"])
    assert (status["progress"], status["steps_completed"], status["steps_total"]) == (1.0, 2, 2)
    trace = await house.call("GET", f"task.trace/{done.json['correlation_id']}")
    steps = [(step["step"], step["detail"]) for step in trace.data["steps"]]
    assert ("parked", "engine") in steps
    assert ("checkpoint", "step:work_out") in steps


async def test_a_branch_and_a_slow_tool_run_too(house: House) -> None:
    triage = await house.start("triage", {"priority": "low", "text": "Hello"})
    report = await house.start("report", {"topic": "tides", "duration_ms": 50})
    assert (await house.until(triage, "completed"))["steps_completed"] == 2
    assert (await house.results(triage))["result"]["results"] == {"urgent": False, "answer": "Hello"}
    await house.until(report, "completed")
    assert (await house.results(report))["result"]["results"]["count"] == {"words": 6, "characters": 33}


async def test_a_workflow_that_fails_says_why_and_goes_to_the_dead_letters(house: House) -> None:
    done = await house.call("POST", "workflow.execute", {"workflow_id": "failing", "mode": "wait"})
    assert done.fault == (502, "ORCH_CONN_002")
    assert not done.json["error"]["retryable"]
    [task] = (await house.call("GET", "task.list?type=workflow.execute")).data["items"]
    results = await house.results(task["task_id"])
    assert results["status"] == "failed"
    assert "a division by zero has no value" in str(results["error"]["details"])
    assert [*results["calls"]] == ["step:sound", "step:unsound"]


async def test_a_user_answers_over_rest(house: House) -> None:
    task_id = await house.start("approval", {"text": "The news"})
    asked = (await house.until(task_id, "waiting"))["input_request"]
    assert (asked["node_id"], asked["prompt"]) == ("ask", "Shall we send it?")
    assert asked["schema"]["required"] == ["approved"]
    elsewhere = await house.call("POST", f"workflow.input/{task_id}", {"node_id": "send", "input": 1})
    assert elsewhere.fault == (409, "ORCH_SESS_002")
    taken = await house.call("POST", f"workflow.input/{task_id}", {"node_id": "ask", "input": {"approved": True}})
    assert (taken.status, taken.data["accepted"]) == (202, True)
    again = await house.call("POST", f"workflow.input/{task_id}", {"node_id": "ask", "input": {"approved": False}})
    assert again.fault == (409, "ORCH_SESS_002")
    await house.until(task_id, "completed")
    assert (await house.results(task_id))["result"]["results"]["send"] == "The news"


async def test_a_user_answers_on_the_workflows_own_socket(house: House) -> None:
    task_id = await house.start("approval", {"text": "The news"})
    await house.until(task_id, "waiting")
    async with house.socket(f"/ws/v1/workflow/{task_id}") as client:
        told = (await client.frame())["data"]
        assert (told["status"], told["state"]) == ("processing", "waiting")
        asked = await client.until("workflow.input_request")
        assert asked["data"]["node_id"] == "ask"
        await client.say("workflow.input", {"node_id": "nowhere", "input": 1})
        assert (await client.until("system.error"))["data"]["error"]["code"] == "ORCH_SESS_002"
        await client.say("workflow.input", {"node_id": "ask", "input": {"approved": False}})
        done = await client.until("workflow.status_update", status="completed")
        assert done["offset"] > asked["offset"]
        assert await client.close_code() == 1000


async def test_a_session_is_told_of_its_workflow_and_may_answer_and_stop_it(house: House) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    async with house.socket(f"/ws/v1/chat/{session_id}") as client:
        task_id = await house.start("approval", {"text": "Hi"}, session_id=session_id)
        asked = await client.until("workflow.input_request")
        assert asked["data"]["task_id"] == task_id
        # The session's turn is not taken: it talks on meanwhile.
        await client.say("chat.message", {"content": "hello"})
        await client.until("chat.completed")
        await client.say("workflow.input", {"node_id": "ask", "input": {"approved": True}})
        assert (await client.until("workflow.status_update", status="completed"))["data"]["task_id"] == task_id
        stopped = await house.start("approval", {}, session_id=session_id)
        await client.until("workflow.input_request")
        await client.say("workflow.cancel", {"task_id": stopped, "reason": "changed my mind"})
        last = await client.until("workflow.status_update", status="cancelled")
        assert (last["data"]["task_id"], last["data"]["status_message"]) == (stopped, "changed my mind")
        assert last["data"]["cancelled_by"] == "user"
        foreign = await house.start("approval")
        await client.say("workflow.cancel", {"task_id": foreign})
        assert (await client.until("system.error"))["data"]["error"]["code"] == "ORCH_NOTF_001"


async def test_a_cancelled_workflow_stops_at_the_engine_as_well(house: House) -> None:
    task_id = await house.start("approval")
    await house.until(task_id, "waiting")
    assert (await house.call("DELETE", f"workflow.cancel/{task_id}")).data == {"task_id": task_id, "cancelled": True}
    assert (await house.status(task_id))["status"] == "cancelled"
    await eventually("the engine is told to stop", lambda: house.sandbox.calls[ENGINE, "cancel"])
    assert (await house.call("DELETE", f"workflow.cancel/{task_id}")).data["cancelled"] is False
    late = await house.call("POST", f"workflow.input/{task_id}", {"node_id": "ask", "input": 1})
    assert late.fault == (409, "ORCH_SESS_002")


async def test_the_stream_of_a_workflow_is_its_log_and_goes_on_where_it_stopped(house: House) -> None:
    asked = {"workflow_id": "arithmetic", "input": {"expression": "2 + 2"}, "mode": "stream"}
    key = {"Idempotency-Key": "k1"}
    whole = await house.call("POST", "workflow.execute", asked, **key)
    assert whole.headers["content-type"].startswith("text/event-stream")
    events = [documented(orjson.loads(line[6:])) for line in whole.text.split("\n") if line.startswith("data: ")]
    assert [event["offset"] for event in events] == [*range(1, len(events) + 1)]
    assert [event["data"]["status"] for event in (events[0], events[-1])] == ["queued", "completed"]
    rest = await house.call("POST", "workflow.execute", asked, **key, **{"Last-Event-ID": str(len(events) - 1)})
    assert rest.headers["idempotent-replayed"] == "true"
    assert rest.text.count("data: ") == 1


async def test_a_socket_resumes_where_it_was(house: House) -> None:
    task_id = await house.start("approval")
    await house.until(task_id, "waiting")
    async with house.socket(f"/ws/v1/workflow/{task_id}") as client:
        epoch = (await client.frame())["epoch"]
    async with house.socket(f"/ws/v1/workflow/{task_id}?last_offset=1&epoch={epoch}") as client:
        greeting = [await client.frame(), await client.frame()]
        assert [frame["offset"] for frame in greeting] == [1, 1]
        missed = await client.frame()
        assert (missed["offset"], missed["data"]["current_step"]) == (2, "ask")


async def test_a_ticket_opens_the_socket_of_a_workflow(house: House) -> None:
    task_id = await house.start("approval")
    ticket = (await house.call("POST", f"session.ticket/{task_id}")).data["ticket"]
    async with house.socket(f"/ws/v1/workflow/{task_id}?ticket={ticket}", user=None) as client:
        assert (await client.frame())["data"]["task_id"] == task_id
    assert (await house.call("POST", f"session.ticket/{task_id}", user="bob")).fault == (404, "ORCH_NOTF_001")


async def test_the_same_key_starts_one_workflow(house: House) -> None:
    first = await house.call("POST", "workflow.execute", {"workflow_id": "approval"}, **{"Idempotency-Key": "k"})
    again = await house.call("POST", "workflow.execute", {"workflow_id": "approval"}, **{"Idempotency-Key": "k"})
    other = await house.call("POST", "workflow.execute", {"workflow_id": "report"}, **{"Idempotency-Key": "k"})
    assert again.data == first.data
    assert again.headers["idempotent-replayed"] == "true"
    assert other.fault == (409, "ORCH_VAL_004")


async def test_the_engines_workflows_are_listed_by_name(house: House) -> None:
    page = await house.call("GET", "workflow.list?limit=2")
    assert [item["workflow_id"] for item in page.data["items"]] == ["approval", "arithmetic"]
    cursor = page.json["meta"]["pagination"]["next_cursor"]
    rest = await house.call("GET", f"workflow.list?cursor={cursor}")
    assert [item["workflow_id"] for item in rest.data["items"]] == ["failing", "report", "triage"]
    assert rest.data["items"][0]["steps"][1]["step_id"] == "unsound"


async def test_an_engine_that_is_away_is_tried_again_and_the_workflow_starts_once(redis_url: str) -> None:
    async with open_house(redis_url, task_retries=3, task_retry_delay=0.05) as house:
        house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, ENGINE, status=503, count=8))
        task_id = await house.start("arithmetic", {"expression": "1 + 1"})
        await house.until(task_id, "completed")
        assert (await house.results(task_id))["result"]["results"]["work_out"] == 2


async def test_an_engine_that_hangs_is_given_up(house: House) -> None:
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.HANG, ENGINE, "execute"))
    task_id = await house.start("arithmetic", {"expression": "1 + 1"})
    cancelled = await house.start("arithmetic", {"expression": "1 + 1"})
    await house.until(cancelled, "processing")
    await house.call("DELETE", f"workflow.cancel/{cancelled}")
    await house.until(cancelled, "cancelled")
    assert (await house.status(task_id))["status"] == "processing"


async def test_an_engine_that_never_calls_back_is_asked(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.sandbox.serving.callbacks.FIRST_PAUSE", 0.001)
    async with open_house(redis_url, workflow_poll=0.2) as house:
        house.sandbox.connect(house.url, "another key")
        task_id = await house.start("approval", {"text": "Hi"})
        waiting = await house.until(task_id, "waiting")
        assert (waiting["current_step"], waiting["input_request"]["node_id"]) == ("ask", "ask")
        house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, ENGINE, "get", status=503, count=1))
        given = {"node_id": "ask", "input": {"approved": False}}
        assert (await house.call("POST", f"workflow.input/{task_id}", given)).status == 202
        await house.until(task_id, "completed")
        assert (await house.results(task_id))["result"]["results"]["ask"] == {"approved": False}


async def test_a_workflow_that_takes_too_long_is_given_up_and_the_engine_told(redis_url: str) -> None:
    async with open_house(redis_url, workflow_poll=0.2, workflow_timeout=1.0) as house:
        task_id = await house.start("approval")
        await house.until(task_id, "failed")
        assert (await house.results(task_id))["error"]["code"] == "ORCH_EXEC_002"
        await eventually("the engine is told to stop", lambda: house.sandbox.calls[ENGINE, "cancel"])


async def test_an_engine_that_has_lost_a_run_fails_its_workflow(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.sandbox.services.workflow_engine.KEPT_RUNS", 1)
    async with open_house(redis_url, workflow_poll=0.3) as house:
        lost = await house.start("approval")
        await house.until(lost, "waiting")
        kept = await house.start("approval")
        await house.until(lost, "failed")
        assert "no longer knows" in (await house.results(lost))["error"]["message"]
        await house.until(kept, "waiting")
