"""What is Ann's, named where no table of routes looks: in bodies, headers, keys of repetition, places in a log."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import orjson
import pytest
from attrs import fields, has

from orchestrator.models.common.ids import new_id
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access
from tests.isolation.estate import PLAN, WORD
from tests.isolation.test_frames import anns, opened
from tests.services.workflows.house import Answered, House, open_house
from tests.support.credentials import ADMIN_KEY, bearer

STRANGERS: Final = {"bob": bearer(user="bob"), "eve": bearer("globex", "eve")}
IN_BODIES: Final[Mapping[str, Callable[[Mapping[str, str]], Any]]] = {
    "chat.message": lambda ids: {"session_id": ids["session_id"], "content": "hi"},
    "workflow.execute": lambda ids: {"plan": PLAN, "session_id": ids["session_id"]},
    "agent.feedback": lambda ids: {"session_id": ids["session_id"], "rating": 1},
    "tool.execute": lambda ids: {"tool_id": "calculator", "parameters": {}, "session_id": ids["session_id"]},
}
"""Routes that are given a session in their bodies, with Ann's."""
COMPARED: Final = {"chat.cancel"}
"""Routes whose bodies may say again what their path names; whose that is, is known by the path."""
OF_THE_TENANT: Final = {"agent_id", "tool_id", "workflow_id", "user_id", "node_id", "tenant_id", "execution_id"}
"""Ids in bodies that name nothing of one user's; `session.create` refuses another `user_id`, as a test here shows."""
REPEATED: Final[Mapping[str, Callable[[str], Any]]] = {
    "session.create": lambda _: {"agent_id": "echo", "metadata": {"note": "same"}},
    "chat.message": lambda session_id: {"session_id": session_id, "content": "same", "mode": "wait"},
    "schedule.create": lambda _: {"cron": "0 0 1 1 *", "agent_id": "echo", "content": "same"},
    "batch.create": lambda _: {"agent_id": "echo", "items": [{"content": "same"}]},
    "workflow.batch": lambda _: {"operation_type": "echo", "items": [{"id": "a", "content": "same"}]},
    "workflow.execute": lambda _: {"plan": PLAN},
    "agent.feedback": lambda session_id: {"session_id": session_id, "rating": 5},
    "tool.execute": lambda _: {"tool_id": "calculator", "parameters": {"expression": "1 + 1"}},
}
"""Bodies of the routes that take an idempotency key, given a session of the caller's."""


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, auth_failures=100_000) as house:
        yield house


async def ask(
    house: House, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answered:
    """Ask any route with any headers; as Ann where they say nothing else."""
    sent = dict(bearer() if headers is None else headers)
    answer = await house.http.request(method, f"{house.url}{path}", json=body, headers=sent)
    is_json = answer.headers["content-type"].startswith("application/json")
    return Answered(answer.status_code, answer.headers, answer.json() if is_json else None, answer.text)


async def session_of(house: House, headers: Mapping[str, str]) -> str:
    session_id: str = (await ask(house, "POST", "/api/v1/session.create", {"agent_id": "echo"}, headers)).data[
        "session_id"
    ]
    return session_id


async def operate(house: House, method: str, route: str, body: Any = None) -> Any:
    answer = await ask(house, method, f"/internal/v1/{route}", body, {"X-API-Key": ADMIN_KEY})
    assert answer.status < 300, answer.text
    return answer.data


async def test_no_body_reaches_another_users_session(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        for route in ROUTES:
            if route.access is not Access.BEARER or route.body is None or not has(route.body):
                continue
            named = {one.name for one in fields(route.body) if one.name.endswith("_id")} - OF_THE_TENANT
            assert named <= {"session_id", "message_id"}, route.name
            assert not named or route.name in IN_BODIES.keys() | COMPARED, route.name
        for caller, headers in STRANGERS.items():
            for name, body in IN_BODIES.items():
                sent = body(ids)
                unknown = orjson.loads(orjson.dumps(sent).decode().replace(ids["session_id"], new_id()))
                answers = [await ask(house, "POST", f"/api/v1/{name}", one, headers) for one in (sent, unknown)]
                assert [one.fault for one in answers] == [(404, "ORCH_NOTF_001")] * 2, (name, caller)
                assert WORD not in answers[0].text
            refused = await ask(
                house, "POST", "/api/v1/session.create", {"agent_id": "echo", "user_id": "ann"}, headers
            )
            assert refused.fault == (403, "ORCH_AUTH_003"), caller
            found = await ask(
                house, "GET", f"/api/v1/task.list?session_id={ids['session_id']}&user_id=ann", None, headers
            )
            assert found.data["items"] == [], caller
        assert len((await house.call("GET", f"chat.history/{ids['session_id']}")).data["items"]) == 2


async def test_a_key_of_repetition_is_its_users_alone(house: House) -> None:
    idempotent = {one.name for one in ROUTES if one.access is Access.BEARER and one.idempotent}
    assert idempotent == REPEATED.keys() | {"task.replay"}
    everyone = {"ann": bearer(), **STRANGERS}
    sessions = {name: await session_of(house, headers) for name, headers in everyone.items()}
    for name, body in REPEATED.items():
        key = {"Idempotency-Key": f"key-of-{name}"}
        told = {}
        for caller, headers in everyone.items():
            sent = body(sessions[caller])
            first, again = [await ask(house, "POST", f"/api/v1/{name}", sent, {**headers, **key}) for _ in range(2)]
            assert first.status < 300, (name, caller, first.text)
            assert "Idempotent-Replayed" not in first.headers, (name, caller)
            assert again.headers["Idempotent-Replayed"] == "true", (name, caller)
            told[caller] = first.data
        hers = {
            str(value) for field, value in told["ann"].items() if field.endswith("_id") and field not in OF_THE_TENANT
        }
        others = orjson.dumps([told[caller] for caller in STRANGERS]).decode()
        assert [one for one in hers if one in others] == [], name


async def test_a_message_id_of_anothers_is_free(house: House) -> None:
    hers = await session_of(house, bearer())
    named = {"X-Message-ID": "the-message"}
    said = {"content": WORD, "mode": "wait"}
    first = await ask(house, "POST", "/api/v1/chat.message", {"session_id": hers, **said}, {**bearer(), **named})
    for caller, headers in STRANGERS.items():
        own = {"session_id": await session_of(house, headers), "content": "mine", "mode": "wait"}
        reply = await ask(house, "POST", "/api/v1/chat.message", own, {**headers, **named})
        assert (reply.status, "Idempotent-Replayed" in reply.headers) == (200, False), caller
        assert WORD not in reply.text
        cancelled = await ask(house, "POST", "/api/v1/chat.cancel/the-message", None, headers)
        assert cancelled.data["cancelled"] is False
        deleted = await ask(house, "DELETE", "/api/v1/chat.delete/the-message", None, headers)
        assert deleted.status == 200, caller
    history = (await house.call("GET", f"chat.history/{hers}")).data["items"]
    assert [one["message_id"] for one in history] == ["the-message", first.data["message_id"]]


async def test_a_place_in_anothers_log_shows_nothing_of_it(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids, house.socket(f"/ws/v1/chat/{ids['session_id']}?last_offset=0") as hers:
        epoch = (await hers.frame())["epoch"]
        for caller, headers in STRANGERS.items():
            own = await session_of(house, headers)
            body = {"session_id": own, "content": "mine", "mode": "stream"}
            stream = await ask(house, "POST", "/api/v1/chat.message", body, {**headers, "Last-Event-ID": f"{epoch}:1"})
            assert stream.status in {200, 400}, stream.text
            assert WORD not in stream.text, caller
            async with opened(house, f"/ws/v1/chat/{own}?last_offset=1&epoch={epoch}", headers) as client:
                await client.say("session.sync", {"last_offset": 0, "epoch": epoch})
                await client.say("system.ping", {})
                seen: list[Any] = []
                while not seen or seen[-1]["type"]["action"] != "pong":
                    seen.append(await client.frame())
                assert WORD not in orjson.dumps(seen).decode(), caller
                assert all(one["epoch"] != epoch for one in seen), caller


async def test_a_ticket_opens_one_thing_once_for_its_holder(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        other = await session_of(house, bearer())
        bobs = await session_of(house, STRANGERS["bob"])

        async def ticket(session_id: str, headers: Mapping[str, str]) -> str:
            given: str = (await ask(house, "POST", f"/api/v1/session.ticket/{session_id}", None, headers)).data[
                "ticket"
            ]
            return given

        async def refused(path: str, status: int = 401) -> None:
            with pytest.raises(Exception, match=str(status)):
                async with opened(house, path, {}):
                    pass

        used = await ticket(other, bearer())
        async with opened(house, f"/ws/v1/chat/{other}?ticket={used}", {}) as client:
            await client.frame()
        await refused(f"/ws/v1/chat/{other}?ticket={used}")
        await refused(f"/ws/v1/chat/{ids['session_id']}?ticket={await ticket(other, bearer())}")
        await refused(f"/ws/v1/chat/{other}?ticket={await ticket(bobs, STRANGERS['bob'])}")
        for name in ("task_id", "batch_id", "turn"):
            mine = await ticket(bobs, STRANGERS["bob"])
            with pytest.raises(Exception, match="40"):
                async with opened(house, f"/ws/v1/workflow/{ids[name]}?ticket={mine}", {}):
                    pass
        for session_id, mode in ((ids["session_id"], "stream"), (bobs, "wait")):
            query = f"?ticket={await ticket(bobs, STRANGERS['bob'])}"
            body = {"session_id": session_id, "content": "hi", "mode": mode}
            reply = await ask(house, "POST", f"/api/v1/chat.message{query}", body, {})
            assert reply.fault == (401, "ORCH_AUTH_001"), (session_id, reply.text)
        query = f"?ticket={await ticket(bobs, STRANGERS['bob'])}"
        flow = {"plan": PLAN, "session_id": ids["session_id"], "mode": "stream"}
        assert (await ask(house, "POST", f"/api/v1/workflow.execute{query}", flow, {})).status == 401
        for caller, headers in STRANGERS.items():
            reply = await ask(house, "POST", f"/api/v1/session.ticket/{ids['session_id']}", None, headers)
            assert reply.fault == (404, "ORCH_NOTF_001"), caller
