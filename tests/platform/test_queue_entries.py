"""Entries of other programs become tasks that run, with record and result, over a real process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import trio

from orchestrator.models.common.ids import new_id
from orchestrator.models.tasks.task import Lane
from orchestrator.store.redis.pubsub import Message, Subscriber
from tests.end_to_end.stack import open_stack
from tests.platform.entries import SESSION, Writer, open_writer
from tests.platform.vectors import missing, vector
from tests.support.eventually import PATIENCE, eventually

USER = "developer"


def moment(seconds: float) -> str:
    """A moment from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def metadata(name: str, **more: Any) -> dict[str, Any]:
    return {**vector(name).filled({})["metadata"], **more}


async def test_each_documented_entry_is_run_as_a_task(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        session = await stack.session(token=stack.token(user=USER))
        async with open_writer(stack) as writer:
            await _workflows(writer, session)
            await _agents(writer, session)
            await _tools(writer)
            await _steps(writer)
            await _refusals(writer)
            await _moments(writer)
            await _repetitions(writer)
            await _results(writer)
            await _intake(writer)
            await _news(writer)
            await _transitions(writer)


async def _workflows(writer: Writer, session: str) -> None:
    for name in ("q-task-full", "q-base-1-0", "q-global", "svc-we-start-req"):
        task = await writer.run(name, session_id=session)
        assert (task["type"], task["status"]) == ("workflow.execute", "completed"), name
        assert task["result"]["results"]["work_out"] == 42
    assert await writer.dead_letters() == []


async def _agents(writer: Writer, session: str) -> None:
    alone = await writer.run("q-agent-execute")
    assert (alone["type"], alone["status"], alone["session_id"]) == ("agent.execute", "completed", None)
    assert alone["result"]["content"] == "6*7 = 42"
    assert alone["user_id"] == USER
    turn = await writer.run("q-common-task", session_id=session)
    assert (turn["type"], turn["status"], turn["session_id"]) == ("chat.message", "completed", session)
    assert turn["result"]["content"] == "Hello."
    elsewhere = await writer.run("q-agent-execute", session_id=session)
    assert (elsewhere["type"], elsewhere["result"]["content"]) == ("agent.execute", "6*7 = 42")


async def _tools(writer: Writer) -> None:
    task = await writer.run("q-tool-execute")
    assert (task["type"], task["status"]) == ("tool.execute", "completed")
    assert task["result"] == {"status": "success", "result": 42}
    unknown = await writer.run("q-tool-execute", payload={"tool_name": "no-such-tool", "inputs": {}})
    assert (unknown["status"], unknown["error"]["code"]) == ("failed", "ORCH_NOTF_001")
    later = await writer.run("q-tool-execute", payload={"tool_id": "slow_report", "parameters": {"topic": "seats"}})
    assert (later["type"], later["status"]) == ("tool.execute", "completed")


async def _steps(writer: Writer) -> None:
    async with writer.stack.client(writer.stack.token(user=USER)) as client:
        body = {"workflow_id": "approval", "input": {"topic": "seats"}}
        workflow = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]
    step = vector("q-workflow-step").example
    first = metadata("q-workflow-step", workflow_id=workflow, workflow_step_id="s1")
    payload = {**step["payload"], "input_data": {"query": "three rows"}}
    assert (await writer.run("q-workflow-step", metadata={**first, "user_id": USER}, payload=payload))[
        "status"
    ] == "completed"
    second = metadata("q-workflow-step", workflow_id=workflow, user_id=USER)
    task = await writer.run("q-workflow-step", metadata=second)
    assert (task["type"], task["status"], task["result"]["unresolved"]) == ("workflow.step", "completed", [])
    assert orjson.loads(task["result"]["result"]) == {"rows": "three rows", "topic": "seats"}
    missing_agent = {**payload, "agent_config": {"agent_id": "no-such-agent"}}
    left_out = await writer.run(
        "q-workflow-step", metadata=metadata("q-workflow-step", user_id=USER), payload=missing_agent
    )
    assert (left_out["status"], left_out["result"]["status"]) == ("completed", "error")
    fails = {**missing_agent, "on_failure": "fail"}
    failed = await writer.run("q-workflow-step", metadata=metadata("q-workflow-step", user_id=USER), payload=fails)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "ORCH_NOTF_001")


async def _refusals(writer: Writer) -> None:
    letters = len(await writer.dead_letters())
    vague = {**vector("q-global").filled({}), "payload": {"what": "is not said"}, "task_id": new_id()}
    twice = {**vector("q-global").filled({}), "created_at": moment(0), "task_id": new_id()}
    ended = {**vector("q-common-task").filled({}), "status": "canceled", "task_id": new_id()}
    for message in (vague, twice, ended, {**vague, "type": 7}):
        await writer.put(message)
    reasons = (await eventually("they are dead letters", writer.dead_letters, lambda all_: len(all_) >= letters + 4))[
        letters:
    ]
    assert [reason.split(" ")[0] for reason in reasons] == ["$.type", "$.timestamp", "$.status", "$.type"]
    assert "names no domain and action" in reasons[0]


async def _moments(writer: Writer) -> None:
    later = await writer.write("q-tool-execute", metadata=metadata("q-tool-execute", scheduled_for=moment(1)))
    await writer.taken_in(later)
    assert (await writer.task(later))["status"] == "pending"
    assert (await writer.ended(later))["status"] == "completed"
    over = await writer.run("q-tool-execute", metadata=metadata("q-tool-execute", valid_until=moment(-1)))
    assert (over["status"], over["error"]["code"]) == ("failed", "ORCH_EXEC_003")
    over = await writer.run("q-agent-execute", expires_at=moment(-1))
    assert (over["status"], over["error"]["code"]) == ("failed", "ORCH_EXEC_003")


async def _repetitions(writer: Writer) -> None:
    letters = await writer.dead_letters()
    once = metadata("q-tool-execute", idempotency_key="only-once")
    await writer.run("q-tool-execute", metadata=once)
    again = await writer.write("q-tool-execute", metadata=once)
    another = await writer.run("q-tool-execute")
    assert another["status"] == "completed"
    assert await writer.task(again) == {}
    waits = metadata("q-tool-execute", deduplication_key="one-at-a-time", scheduled_for=moment(30))
    first = await writer.write("q-tool-execute", metadata=waits)
    await writer.taken_in(first)
    second = await writer.write("q-tool-execute", metadata=waits)
    await writer.run("q-tool-execute")
    assert await writer.task(second) == {}
    assert await writer.dead_letters() == letters


async def _results(writer: Writer) -> None:
    told = metadata("q-tool-execute", reply_to="results", user_locale="en", house={"colour": "blue"})
    task = await writer.run("q-tool-execute", metadata=told)
    await writer.run(
        "q-agent-execute",
        payload={"agent_config": {"agent_id": "no-such-agent"}, "query": "?", "callback": {"queue": "q"}},
    )
    key = writer.keys.service_results("workflow_engine", "acme")
    found = await eventually("there are results", lambda: writer.redis.xrange(key), lambda rows: len(rows) == 2)
    done, failed = (orjson.loads(fields[b"message"]) for _, fields in found)
    assert missing({"message_id": "", "type": {"domain": "", "action": ""}, "payload": {"result": {}}}, done) == []
    assert (done["original_task_id"], done["status"], done["payload"]["result"]) == (
        task["task_id"],
        "completed",
        task["result"],
    )
    # What came along and is not known here goes back as it came.
    assert (done["metadata"]["user_locale"], done["metadata"]["house"]) == ("en", {"colour": "blue"})
    assert (failed["type"], failed["error"]["code"]) == ({"domain": "agent", "action": "error"}, "ORCH_NOTF_001")


async def _intake(writer: Writer) -> None:
    """Entries are taken in at once, by the blocking read; those of a tenant that is new by a ring."""
    seconds = [await writer.taken_in(await writer.write("q-tool-execute")) for _ in range(10)]
    # The sweep would take five seconds; how long it takes where the machine is free is for benchmarks to say.
    assert sorted(seconds)[5] < 1
    task_id = new_id()
    message = {**vector("q-tool-execute").filled({}), "task_id": task_id, "tenant_id": "newcomer"}
    await writer.put(message, "newcomer")
    await writer.redis.xadd(writer.keys.intake, {"tenant": "newcomer"})
    record = writer.keys.task("newcomer", task_id)
    await eventually("it is a task", lambda: writer.redis.exists(record), bool, within=4)


async def _news(writer: Writer) -> None:
    """What services tell of their work, and of agents, may come as entries too; none of it becomes a task."""
    letters = await writer.dead_letters()
    async with writer.stack.client(writer.stack.token(user=USER)) as client:
        body = {"workflow_id": "approval", "input": {"topic": "seats"}}
        workflow = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]

        async def results() -> Any:
            return (await client.get(f"/api/v1/workflow.results/{workflow}")).json()["data"]

        await writer.put({**vector("svc-we-result").filled({}), "task_id": new_id(), "original_task_id": workflow})
        ended = await eventually("the run has ended", results, lambda found: found["status"] == "completed")
        assert ended["result"] == {"value": 42}
        made = await client.post("/api/v1/session.create", json={"agent_id": "echo"})
        session_id = made.json()["data"]["session_id"]
        pinned = {"agent_id": "echo", "version": "1.0.0"}
        assert (await client.put(f"/api/v1/agent.assign/{session_id}", json=pinned)).status_code == 200

        async def bound_to() -> Any:
            return (await client.get(f"/api/v1/session.get/{session_id}")).json()["data"]["pinned_version"]

        change = vector("svc-am-update").filled({SESSION: session_id})
        change["payload"] |= {"agent_id": "echo", "new_version": "1.1.0"}
        await writer.put(change)
        lane = writer.keys.lane("acme", Lane.NORMAL)
        await eventually("the lane is empty", lambda: writer.redis.xlen(lane), lambda left: left == 0)
        assert await bound_to() == "1.0.0"
        change["payload"]["update_policy"] = "force_update_sessions"
        await writer.put({**change, "message_id": new_id(), "task_id": new_id()})
        await eventually("it is bound anew", bound_to, lambda now: now == "1.1.0")
    assert await writer.dead_letters() == letters
    await writer.put({**change, "payload": {}})
    reasons = await eventually("it is refused", writer.dead_letters, lambda found: len(found) > len(letters))
    assert reasons[-1].startswith("$.payload.agent_id")


async def _transitions(writer: Writer) -> None:
    """Each move of a session is published by the name of the state that it leads to."""
    known = vector("q-state-publication").example
    named = {"created", "active", "processing", "paused", "terminated"}
    async with writer.redis.subscriber() as published, writer.stack.client() as client:
        for state in named:
            await published.subscribe(known["queue"].replace("processing", state))
        created = await client.post("/api/v1/session.create", json={"agent_id": "echo"})
        session_id = created.json()["data"]["session_id"]
        body = {"session_id": session_id, "content": "hi", "mode": "wait"}
        said = await client.post("/api/v1/chat.message", json=body)
        paused = await client.put(f"/api/v1/session.pause/{session_id}")
        resumed = await client.put(f"/api/v1/session.resume/{session_id}")
        closed = await client.delete(f"/api/v1/session.close/{session_id}")
        states = ["created", "processing", "active", "paused", "active", "terminated"]
        for state, cause in zip(states, (created, said, said, paused, resumed, closed), strict=True):
            told = await _published(published, session_id)
            assert told.channel.decode().rpartition(":")[2] == state
            moved = orjson.loads(told.payload)
            nullable = frozenset({"previous_state_id"} if state == "created" else ())
            assert missing(known["message"], moved, nullable=nullable) == []
            assert (moved["event"], moved["correlation_id"]) == ("session.state_update", cause.json()["correlation_id"])


async def _published(published: Subscriber, session_id: str) -> Message:
    with trio.fail_after(PATIENCE):
        async for told in published:
            if isinstance(told, Message) and orjson.loads(told.payload)["session_id"] == session_id:
                return told
    raise AssertionError("the channel has ended")
