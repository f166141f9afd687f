"""Every socket and every frame of the document, tried by all who must not follow or say anything there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import pytest
import trio
from trio_websocket import ConnectionRejected, wrap_client_stream

from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.models.common.principal import Role
from orchestrator.websocket.handlers import HANDLERS
from tests.isolation.estate import PLAN, WORD
from tests.isolation.test_routes import claims_of
from tests.services.workflows.house import Client, House, open_house
from tests.support.credentials import ADMIN_KEY, METRICS_KEY, bearer, keyed
from tests.support.eventually import eventually

OWN: Final = {"chat.message", "session.sync", "system.ping"}
"""Frames that name nothing: on a socket of one's own they do what they are for."""
OF_SERVICES: Final[Mapping[str, dict[str, Any]]] = {
    "task.progress": {"progress": 0.5},
    "task.complete": {"result": {}},
    "task.fail": {"error": {"code": "X", "message": "x"}},
}
NARROW: Final = {
    "/ws/v1/chat/{session_id}": "session:read",
    "/ws/v1/workflow/{task_id}": "workflow:read",
    "/ws/v1/notifications": "session:read",
}
"""The permission that opening each socket takes."""


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, auth_failures=100_000) as house:
        yield house


@asynccontextmanager
async def opened(house: House, path: str, headers: Mapping[str, str]) -> AsyncIterator[Client]:
    """A socket; raises ConnectionRejected, alone, where it is refused."""
    host, _, port = house.url.removeprefix("http://").partition(":")
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    refused: list[BaseException] = []
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        try:
            async with trio.open_nursery() as nursery:
                socket = await wrap_client_stream(nursery, stream, f"{host}:{port}", path, extra_headers=raw)
                async with socket:
                    yield Client(socket)
        except* ConnectionRejected as group:
            refused += group.exceptions
    while refused and isinstance(refused[0], ExceptionGroup):
        refused = list(refused[0].exceptions)
    if refused:
        raise refused[0]


async def refusal(house: House, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """How a socket is refused: status and body."""
    with pytest.raises(ConnectionRejected) as caught:
        async with opened(house, path, headers):
            pass
    return caught.value.status_code, (caught.value.body or b"").decode()


@asynccontextmanager
async def anns(redis_url: str, house: House) -> AsyncIterator[dict[str, str]]:
    """A session with a turn, a workflow and a batch of Ann's."""
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    asked = {"session_id": session_id, "content": WORD, "mode": "wait"}
    said = await house.call("POST", "chat.message", asked)
    flow = await house.call("POST", "workflow.execute", {"plan": PLAN, "mode": "wait"})
    batch = {"agent_id": "echo", "items": [{"content": WORD}]}
    batch_id = (await house.call("POST", "batch.create", batch)).data["batch_id"]
    await eventually("the batch has ended", lambda: house.batch(batch_id), lambda now: now["status"] == "completed")
    [task] = [one for one in (await house.call("GET", "task.list")).data["items"] if one["session_id"] == session_id]
    yield {
        "session_id": session_id,
        "message_id": said.data["parent_message_id"],
        "task_id": flow.data["task_id"],
        "batch_id": batch_id,
        "turn": task["task_id"],
    }


async def revoked(house: House) -> dict[str, str]:
    token = bearer()
    answer = await house.http.post(
        f"{house.url}/internal/v1/token.revoke", json={"jti": claims_of(token)["jti"]}, headers=keyed(ADMIN_KEY)
    )
    assert answer.status_code == 200
    return token


async def test_no_socket_opens_on_what_is_anothers(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        document = (await house.http.get(f"{house.url}/asyncapi.json")).json()
        gone = await revoked(house)
        strangers: dict[str, dict[str, str]] = {"nobody": {}, "expired": bearer(ttl=-600), "revoked": gone}
        for channel in document["channels"].values():
            address: str = channel["address"]
            if address.startswith("/internal/"):
                for headers in [*strangers.values(), bearer(), keyed(METRICS_KEY)]:
                    assert (await refusal(house, address, headers))[0] in {401, 403}, address
                continue
            paths = {
                "/ws/v1/chat/{session_id}": [f"/ws/v1/chat/{ids['session_id']}"],
                "/ws/v1/workflow/{task_id}": [
                    f"/ws/v1/workflow/{ids[name]}" for name in ("task_id", "batch_id", "turn")
                ],
                "/ws/v1/notifications": ["/ws/v1/notifications"],
            }[address]
            # The permission to run workflows includes that to read of them.
            allowed = ROLE_PERMISSIONS[Role.USER] - {NARROW[address], "workflow:execute"}
            expected = {name: (401, headers) for name, headers in strangers.items()}
            expected["narrow"] = (403, bearer(permissions=allowed))
            expected["service"] = (401, keyed())
            if "{" in address:
                for user, tenant in (("bob", "acme"), ("eve", "globex")):
                    expected[user] = (404, bearer(tenant, user))
                expected["monitor"] = (404, bearer(user="mona", role=Role.MONITOR))
            for path in paths:
                for caller, (status, headers) in expected.items():
                    answered, body = await refusal(house, path, headers)
                    assert (answered, WORD in body) == (status, False), (path, caller, body)


async def test_no_frame_reaches_what_is_anothers(house: House, redis_url: str) -> None:
    async with anns(redis_url, house) as ids:
        document = (await house.http.get(f"{house.url}/asyncapi.json")).json()
        frames = {name for name, operation in document["operations"].items() if operation["action"] == "receive"}
        said: dict[str, list[dict[str, Any]]] = {
            "chat.cancel": [{"message_id": ids["message_id"]}],
            "tool.result": [{"tool_call_id": "c1", "result": {"status": "success"}}],
            "workflow.input": [{"task_id": ids["task_id"], "node_id": "ask", "input": {}}],
            "workflow.cancel": [
                {name: ids[run]} for name in ("task_id", "workflow_id") for run in ("task_id", "turn", "batch_id")
            ],
            "system.auth": [{"token": bearer()["Authorization"].removeprefix("Bearer ")}],
        }
        assert frames == said.keys() | OWN | OF_SERVICES.keys()
        before = [await house.call("GET", f"workflow.status/{ids['task_id']}"), await _history(house, ids)]
        for user, tenant in (("bob", "acme"), ("eve", "globex")):
            headers = bearer(tenant, user)
            answer = await house.http.post(
                f"{house.url}/api/v1/session.create", json={"agent_id": "echo"}, headers=headers
            )
            async with opened(house, f"/ws/v1/chat/{answer.json()['data']['session_id']}", headers) as client:
                for name, bodies in said.items():
                    for body in bodies:
                        await _refused(client, name, body, {"ORCH_NOTF_001", "ORCH_AUTH_001", "ORCH_AUTH_002"})
        narrow = bearer(permissions=["session:read"])
        async with opened(house, f"/ws/v1/chat/{ids['session_id']}", narrow) as client:
            for name in frames - OF_SERVICES.keys():
                if HANDLERS[name].permission is not None:
                    for body in said.get(name, [{"content": "hi"}]):
                        await _refused(client, name, body, {"ORCH_AUTH_003"})
        service = keyed(tenant="globex")
        async with opened(house, "/internal/v1/ws/task_updates", service) as client:
            for name in OF_SERVICES:
                body = {"task_id": ids["turn"], "callback_token": "x", **OF_SERVICES[name]}
                await _refused(client, name, body, {"ORCH_NOTF_001"})
        after = [await house.call("GET", f"workflow.status/{ids['task_id']}"), await _history(house, ids)]
        assert [one.data for one in before] == [one.data for one in after]


async def _history(house: House, ids: Mapping[str, str]) -> Any:
    return await house.call("GET", f"chat.history/{ids['session_id']}")


async def _refused(client: Client, name: str, body: dict[str, Any], codes: set[str]) -> None:
    """Say something, and see it refused with one of these codes, and nothing told."""
    await client.say(name, body)
    answer = await client.until("system.error")
    assert answer["data"]["error"]["code"] in codes, (name, body, answer)
    assert WORD not in orjson.dumps(answer).decode()
