"""Agents and tools, over the whole service."""

from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import orjson
import pytest

from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.events.events import ToolOutcome, ToolResult, ToolStatus
from orchestrator.sandbox.serving.faults import InjectedFaultKind
from tests.support.credentials import bearer, keyed
from tests.support.eventually import eventually
from tests.support.sandboxed import names, stack
from tests.support.served import service

OPERATOR = bearer(user="olga", role=Role.OPERATOR)
BOB, ELSEWHERE = bearer(user="bob"), bearer(tenant="globex")


async def test_agents_are_listed_by_their_ids_page_by_page(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        page = await house.client.call("GET", "/api/v1/agent.list?limit=2")
        assert names(page, "agent_id") == ["calculator", "confirm"]
        assert page.data["items"][1]["client_tools"] == ["confirm_action"]
        cursor = page.json["meta"]["pagination"]["next_cursor"]
        rest = await house.client.call("GET", f"/api/v1/agent.list?cursor={cursor}")
        assert names(rest, "agent_id") == sorted(names(rest, "agent_id"))
        assert {"docs-guide", "echo", "llm"} <= {*names(rest, "agent_id")}
        assert rest.json["meta"]["pagination"]["has_more"] is False
        assert names(await house.client.call("GET", "/api/v1/agent.list", headers=ELSEWHERE), "agent_id") == [
            "docs-guide",
            "echo",
        ]


async def test_an_agent_is_shown_in_its_versions_and_its_prompt_to_operators_alone(
    redis_url: str, tmp_path: Path
) -> None:
    async with stack(redis_url, tmp_path) as house:
        latest = await house.client.call("GET", "/api/v1/agent.get/echo")
        assert (latest.data["version"], latest.data["system_prompt"]) == ("1.1.0", None)
        older = await house.client.call("GET", "/api/v1/agent.get/echo?version=1.0.0", headers=OPERATOR)
        assert (older.data["version"], older.data["system_prompt"]) == ("1.0.0", "Repeat the message.")
        for path in ("nobody", "echo?version=9", "calculator"):
            headers = ELSEWHERE if path == "calculator" else None
            missing = await house.client.call("GET", f"/api/v1/agent.get/{path}", headers=headers)
            assert missing.fault[:2] == (404, "ORCH_NOTF_001")


async def test_a_session_with_an_agent_that_is_not_there_is_refused(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        refused = await house.client.call("POST", "/api/v1/session.create", {"agent_id": "nobody"})
        assert refused.fault[:2] == (404, "ORCH_NOTF_001")
        assert "RateLimit" in refused.headers
        house.fault(InjectedFaultKind.ERROR, "agent_management", "get", status=503)
        taken = await house.client.call("POST", "/api/v1/session.create", {"agent_id": "nobody"})
        assert taken.status == 201


async def test_a_repeated_creation_is_answered_as_before_though_the_agent_has_gone(
    redis_url: str, tmp_path: Path
) -> None:
    create, key = "/api/v1/session.create", {**bearer(), "Idempotency-Key": "k1"}
    async with service(redis_url) as without:
        first = await without.call("POST", create, {"agent_id": "nobody"}, key)
    async with stack(redis_url, tmp_path) as house:
        again = await house.client.call("POST", create, {"agent_id": "nobody"}, key)
        assert (again.status, again.data["session_id"]) == (201, first.data["session_id"])
        other = await house.client.call("POST", create, {"agent_id": "nobody", "metadata": {"a": 1}}, key)
        assert other.fault[:2] == (409, "ORCH_VAL_004")


async def test_a_session_changes_its_agent_and_may_be_bound_to_a_version(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        session_id = (await house.client.call("POST", "/api/v1/session.create", {"agent_id": "calculator"})).data[
            "session_id"
        ]
        assign = f"/api/v1/agent.assign/{session_id}"
        changed = await house.client.call("PUT", assign, {"agent_id": "echo", "version": "1.0.0"})
        assert (changed.data["agent_id"], changed.data["pinned_version"]) == ("echo", "1.0.0")
        task = await house.answer(session_id)
        assert (task["agent_id"], task["agent_version"]) == ("echo", "1.0.0")
        shown = await house.client.call("GET", f"/api/v1/session.get/{session_id}")
        assert (shown.data["agent_version"], shown.data["pinned_version"]) == ("1.0.0", "1.0.0")
        freed = await house.client.call("PUT", assign, {"agent_id": "echo"})
        assert (freed.data["agent_version"], freed.data["pinned_version"]) == (None, None)
        assert (await house.answer(session_id))["agent_version"] == "1.1.0"
        log = house.client.process.services.event_log
        events = await log.read("acme", session_id, after=0)
        told = [event for event in events if b'"agent_id":"echo"' in event.body]
        assert [event.name for event in told] == ["session.state_update"] * 2
        assert b'"state":"CREATED","state_code":10' in told[0].body
        assert b'"state":"ACTIVE","state_code":20' in told[1].body
        assert [event.offset for event in events] == list(range(1, len(events) + 1))


async def test_an_agent_can_not_be_assigned_where_it_must_not(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        session_id = (await house.client.call("POST", "/api/v1/session.create", {"agent_id": "echo"})).data[
            "session_id"
        ]
        assign = f"/api/v1/agent.assign/{session_id}"
        for body in ({"agent_id": "nobody"}, {"agent_id": "echo", "version": "9"}):
            assert (await house.client.call("PUT", assign, body)).fault[:2] == (404, "ORCH_NOTF_001")
        for headers in (BOB, ELSEWHERE):
            refused = await house.client.call("PUT", assign, {"agent_id": "echo"}, headers)
            assert refused.fault[:2] == (404, "ORCH_NOTF_001")
        bad = await house.client.call("PUT", assign, {"agent_id": "echo", "version": "@state"})
        assert bad.fault == (400, "ORCH_VAL_001", "$.version")
        house.fault(InjectedFaultKind.HANG, "agent_execution", "execute")
        said = await house.client.say(session_id)
        busy = await house.client.call("PUT", assign, {"agent_id": "calculator"})
        assert busy.fault[:2] == (409, "ORCH_SESS_003")
        await house.client.call("POST", f"/api/v1/task.cancel/{said.data['task_id']}")
        await house.client.call("DELETE", f"/api/v1/session.close/{session_id}")
        closed = await house.client.call("PUT", assign, {"agent_id": "calculator"})
        assert closed.fault[:2] == (410, "ORCH_SESS_001")


async def test_feedback_reaches_agent_management_with_the_version_that_answered(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        session_id = (await house.client.call("POST", "/api/v1/session.create", {"agent_id": "echo"})).data[
            "session_id"
        ]
        task = await house.answer(session_id)
        await house.client.call("PUT", f"/api/v1/agent.assign/{session_id}", {"agent_id": "calculator"})
        for message_id in (task["message_id"], task["result"]["message_id"]):
            body = {"message_id": message_id, "rating": 5, "comment": "good"}
            taken = await house.client.call("POST", "/api/v1/agent.feedback", body)
            assert (taken.status, taken.data["agent_id"], taken.data["agent_version"]) == (200, "echo", "1.1.0")
            assert taken.data["session_id"] == session_id
            assert (await house.client.call("POST", "/api/v1/agent.feedback", body, BOB)).fault[0] == 404
        about = await house.client.call("POST", "/api/v1/agent.feedback", {"session_id": session_id, "rating": 1})
        assert about.data["agent_id"] == "calculator"
        keyed_ = {**bearer(), "Idempotency-Key": "f1"}
        body = {"session_id": session_id, "rating": 2}
        replies = [await house.client.call("POST", "/api/v1/agent.feedback", body, keyed_) for _ in range(2)]
        assert replies[0].data == replies[1].data
        assert ["Idempotent-Replayed" in reply.headers for reply in replies] == [False, True]
        reused = await house.client.call("POST", "/api/v1/agent.feedback", {**body, "rating": 3}, keyed_)
        assert reused.fault[:2] == (409, "ORCH_VAL_004")
        assert house.calls("agent_management", "feedback") == 4
        for body in ({"rating": 5}, {"rating": 5, "session_id": session_id, "message_id": "m"}):
            assert (await house.client.call("POST", "/api/v1/agent.feedback", body)).fault[:2] == (422, "ORCH_VAL_002")
        for body in ({"rating": 6, "session_id": session_id}, {"session_id": session_id}):
            assert (await house.client.call("POST", "/api/v1/agent.feedback", body)).fault[:2] == (400, "ORCH_VAL_001")


async def test_a_changed_agent_is_looked_up_anew_by_every_process(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        services = house.client.process.services
        async with service(redis_url, consuming=True, services=services.settings.services) as other:

            async def look() -> int:
                for one in (house.client, other):
                    assert (await one.call("GET", "/api/v1/agent.get/echo")).status == 200
                return house.calls("agent_management", "get")

            async def notice(kind: str, body: dict[str, str], tenant: str = "acme") -> None:
                told = await other.call("POST", f"/internal/v1/{kind}.updated", body, keyed(tenant=tenant))
                assert told.status == 200, told.raw

            assert await look() == 2
            await notice("agent", {"agent_id": "echo"}, "globex")
            await notice("tool", {"tool_id": "calculator"})
            await notice("agent", {"agent_id": "calculator"})
            assert await look() == 2
            await notice("agent", {"agent_id": "echo", "version": "1.2.0"})

            await eventually("both look it up anew", look, lambda lookups: lookups == 4)
            assert await look() == 4


async def test_a_notice_needs_the_key_of_a_service(redis_url: str) -> None:
    async with service(redis_url) as client:
        for kind in ("agent", "tool"):
            refused = await client.call("POST", f"/internal/v1/{kind}.updated", {"agent_id": "echo"})
            assert refused.fault[:2] == (401, "ORCH_AUTH_001")


async def test_tools_are_listed_and_run(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        tools = await house.client.call("GET", "/api/v1/tool.list")
        kinds = {tool["tool_id"]: tool["kind"] for tool in tools.data["items"]}
        assert [*kinds] == sorted(kinds)
        assert (kinds["calculator"], kinds["confirm_action"], kinds["slow_report"]) == ("sync", "client", "async")
        own = await house.client.call("GET", "/api/v1/tool.list?agent_id=confirm&limit=1")
        assert names(own, "tool_id") == ["confirm_action"]
        run = {"tool_id": "calculator", "parameters": {"expression": "6 * 7"}}
        ran = await house.client.call("POST", "/api/v1/tool.execute", run)
        assert (ran.status, ran.data["status"], ran.data["result"]) == (200, "success", 42)
        failed = await house.client.call("POST", "/api/v1/tool.execute", {**run, "parameters": {"expression": "1 / 0"}})
        assert (failed.status, failed.data["status"], failed.data["result"]) == (200, "error", None)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"tool_id": "nothing"}, (404, "ORCH_NOTF_001")),
        ({"tool_id": "confirm_action", "parameters": {"action": "sell"}}, (422, "ORCH_VAL_002")),
        ({"tool_id": "calculator", "parameters": {"sum": "1"}}, (422, "ORCH_VAL_002")),
        ({"tool_id": "calculator", "timeout_ms": 0}, (400, "ORCH_VAL_001")),
        ({"tool_id": "calculator", "session_id": "none"}, (404, "ORCH_NOTF_001")),
    ],
)
async def test_a_tool_that_can_not_run_is_refused(
    redis_url: str, tmp_path: Path, body: dict[str, object], fault: tuple[int, str]
) -> None:
    async with stack(redis_url, tmp_path) as house:
        assert (await house.client.call("POST", "/api/v1/tool.execute", body)).fault[:2] == fault


async def test_a_tool_runs_for_a_session_whose_agent_has_it(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        create = {"agent_id": "echo"}
        session_id = (await house.client.call("POST", "/api/v1/session.create", create)).data["session_id"]
        run = {"tool_id": "word_count", "parameters": {"text": "two words"}, "session_id": session_id}
        ran = await house.client.call("POST", "/api/v1/tool.execute", run)
        assert (ran.data["result"]["words"], ran.data["session_id"]) == (2, session_id)
        assert (await house.client.call("POST", "/api/v1/tool.execute", run, BOB)).fault[0] == 404
        foreign = await house.client.call("POST", "/api/v1/tool.execute", {**run, "tool_id": "calculator"})
        assert foreign.fault[:2] == (404, "ORCH_NOTF_001")


async def test_a_tool_that_hangs_is_waited_for_no_longer_than_asked(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        house.fault(InjectedFaultKind.HANG, "tool_registry", "execute")
        run = {"tool_id": "calculator", "parameters": {"expression": "1"}, "timeout_ms": 100}
        assert (await house.client.call("POST", "/api/v1/tool.execute", run)).fault[:2] == (504, "ORCH_EXEC_001")


async def test_a_tool_that_answers_later_is_a_task(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        run = {"tool_id": "slow_report", "parameters": {"topic": "tides", "duration_ms": 1}}
        key = {**bearer(), "Idempotency-Key": "t1"}
        first, again = [await house.client.call("POST", "/api/v1/tool.execute", run, key) for _ in range(2)]
        assert (first.status, first.data["type"], first.data["task_id"]) == (202, "tool.execute", again.data["task_id"])
        assert first.json["type"] == {"domain": "tool", "action": "accepted"}
        await eventually("the run is handed on", lambda: house.calls("tool_registry", "async_execute"))
        assert (await house.client.call("GET", f"/api/v1/task.get/{first.data['task_id']}", headers=BOB)).status == 404


async def test_a_repeated_run_of_a_tool_is_answered_as_it_was(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        key = {**bearer(), "Idempotency-Key": "k1"}
        run = {"tool_id": "current_time"}
        house.fault(InjectedFaultKind.HANG, "tool_registry", "execute", count=1)
        late = await house.client.call("POST", "/api/v1/tool.execute", {**run, "timeout_ms": 1000}, key)
        assert late.status == 504
        again = {**run, "timeout_ms": 1000}
        replies = [await house.client.call("POST", "/api/v1/tool.execute", again, key) for _ in range(2)]
        assert [reply.status for reply in replies] == [200, 200]
        assert replies[0].data == replies[1].data
        assert ["Idempotent-Replayed" in reply.headers for reply in replies] == [False, True]
        reused = await house.client.call("POST", "/api/v1/tool.execute", run, key)
        assert reused.fault[:2] == (409, "ORCH_VAL_004")


async def test_a_turn_goes_on_with_the_version_it_began_with_when_its_client_has_run_a_tool(
    redis_url: str, tmp_path: Path
) -> None:
    async with stack(redis_url, tmp_path) as house:
        services = house.client.process.services
        create = {"agent_id": "confirm"}
        session_id = (await house.client.call("POST", "/api/v1/session.create", create)).data["session_id"]
        async with services.event_hub.follow("acme", session_id) as follower:
            said = await house.client.say(session_id)
            asked: dict[str, Any] = {}
            while not asked:
                for event in await follower.receive():
                    if event.name == "tool.execute":
                        asked = orjson.loads(event.body)["data"]
        versions = house.sandbox.fixtures.agents["confirm"]
        versions["9.0.0"] = {**versions["1.0.0"], "version": "9.0.0"}
        told = await house.client.call("POST", "/internal/v1/agent.updated", create, keyed())
        assert told.data["agent_id"] == "confirm"
        outcome = ToolOutcome(ToolStatus.SUCCESS, {"confirmed": True})
        principal = Principal("acme", "ann", Role.USER, frozenset({"*"}), float("inf"))
        ctx = RequestContext(principal, "r1", "c1", TraceContext("a" * 32, "b" * 16))
        await services.chat.tool_result(ctx, session_id, ToolResult(asked["tool_call_id"], outcome))

        async def task() -> Any:
            return (await house.client.call("GET", f"/api/v1/task.get/{said.data['task_id']}")).data

        ended = await eventually("the turn has ended", task, lambda now: now["status"] == "completed")
        assert (ended["agent_version"], ended["attempt"]) == ("1.0.0", 2)
        assert (await house.client.call("GET", "/api/v1/agent.get/confirm")).data["version"] == "9.0.0"


async def test_a_notice_that_can_not_be_read_has_everything_looked_up_anew(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as house:
        stores = house.client.process.stores

        async def look() -> int:
            assert (await house.client.call("GET", "/api/v1/agent.get/echo")).status == 200
            return house.calls("agent_management", "get")

        assert [await look(), await look()] == [1, 1]
        for count, rubbish in enumerate((b"", b"[]", b'{"kind": "novelty"}', b'{"kind": "agent"}'), 2):
            await stores.redis.publish(stores.keys.catalog_channel, rubbish)
            await eventually("it is looked up anew", look, partial(eq, count))
