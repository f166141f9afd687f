"""The flows of the page that describes them: taken over real sockets, and compared with its diagrams."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.services.workflows.house import Client, House, open_house
from tests.support.documented_shapes import DOCUMENTED
from tests.support.eventually import PATIENCE

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "flows.md"
EVENT: Final = re.compile(r"^ +\w+-->>C: ([a-z]+\.[a-z_]+)(?: (\w+))?$", re.MULTILINE)
FLOWS: Final = {
    "test_" + title.lower().replace(",", "").replace(" ", "_"): EVENT.findall(text)
    for title, _, text in (part.partition("\n") for part in PAGE.read_text("utf-8").split("\n## ")[1:])
}
"""The events that clients see in each diagram: name, and status where the diagram has one."""


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, patience=10) as house:
        yield house


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """What the diagram of the test's name shows."""
    return FLOWS[request.node.originalname]


def test_every_diagram_has_a_test_and_every_test_a_diagram() -> None:
    tests = {
        name for name, value in globals().items() if name.startswith("test_") and "shown" in value.__code__.co_varnames
    }
    assert tests == FLOWS.keys()
    assert all(FLOWS.values())


async def seen(client: Client, shown: list[tuple[str, str]]) -> list[Any]:
    """Read frames until all that the diagram shows has come, in its order; returns the data of those."""
    found = []
    with trio.fail_after(PATIENCE):
        for name, status in shown:
            while True:
                frame = await client.frame()
                data = frame["data"]
                if f"{frame['type']['domain']}.{frame['type']['action']}" == name and status in {
                    "",
                    data.get("status"),
                }:
                    found.append(data)
                    break
    return found


async def session(house: House, agent: str) -> str:
    return str((await house.call("POST", "session.create", {"agent_id": agent})).data["session_id"])


async def say(house: House, session_id: str, content: str) -> Any:
    sent = await house.call("POST", "chat.message", {"session_id": session_id, "content": content})
    assert sent.status == 202, sent.text
    return sent.data


async def test_a_chat_turn(house: House, shown: list[tuple[str, str]]) -> None:
    own = await session(house, "echo")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        said = await say(house, own, "hello there")
        *_, completed, status = await seen(client, shown)
    assert (completed["content"], status["message_id"]) == ("hello there", said["message_id"])


async def test_a_tool_of_the_server(house: House, shown: list[tuple[str, str]]) -> None:
    own = await session(house, "calculator")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        await say(house, own, "6*7")
        _, started, result, completed = await seen(client, shown)
    assert started["tool_call_id"] == result["tool_call_id"]
    assert "42" in completed["content"]
    assert house.sandbox.calls["tool_registry", "execute"] == 1


async def test_a_tool_of_the_client(house: House, shown: list[tuple[str, str]]) -> None:
    own = await session(house, "confirm")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        await say(house, own, "delete it")
        [asked] = await seen(client, shown[:1])
        given = {"status": "success", "data": {"confirmed": True}}
        await client.say("tool.result", {"tool_call_id": asked["tool_call_id"], "result": given})
        await seen(client, shown[1:])


async def test_a_cancelled_turn(house: House, shown: list[tuple[str, str]], shapes: str) -> None:
    own = await session(house, "echo")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        said = await say(house, own, "echo 5000 words")
        await seen(client, shown[:1])
        assert (await house.call("POST", f"chat.cancel/{said['message_id']}")).data["cancelled"]
        await seen(client, shown[1:])
    kept = (await house.call("GET", f"chat.history/{own}")).data["items"]
    assert [item["role"] for item in kept] == ["user", "assistant"]
    # A documented message has no metadata in which a conversation could keep it.
    assert shapes == DOCUMENTED or kept[1]["metadata"]["interrupted"]


async def test_a_lost_connection(house: House, shown: list[tuple[str, str]]) -> None:
    own = await session(house, "echo")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        await client.say("chat.message", {"content": "echo 50 words"})
        while (frame := await client.frame())["type"]["action"] != "stream":
            pass
    place = f"last_offset={frame['offset']}&epoch={frame['epoch']}"
    async with house.socket(f"/ws/v1/chat/{own}?{place}") as client:
        state, completed = await seen(client, shown[1:])
    assert state["recovered"]
    assert len(completed["content"].split()) == 50


async def test_a_workflow(house: House, shown: list[tuple[str, str]]) -> None:
    run = await house.start("arithmetic", {"expression": "6*7"})
    async with house.socket(f"/ws/v1/workflow/{run}") as client:
        await seen(client, shown[-1:])


async def test_a_workflow_that_asks_its_user(house: House, shown: list[tuple[str, str]]) -> None:
    run = await house.start("approval", {"text": "Send it"})
    async with house.socket(f"/ws/v1/workflow/{run}") as client:
        [asked] = await seen(client, shown[:1])
        await client.say("workflow.input", {"node_id": asked["node_id"], "input": {"approved": True}})
        await seen(client, shown[1:])


async def test_a_batch(house: House, shown: list[tuple[str, str]]) -> None:
    items = [{"content": f"item {number}"} for number in range(20)]
    created = await house.call("POST", "batch.create", {"agent_id": "echo", "items": items})
    batch_id = created.data["batch_id"]
    async with house.socket(f"/ws/v1/workflow/{batch_id}") as client:
        *_, last = await seen(client, shown[-1:])
    assert (last["completed"], last["total"]) == (20, 20)
    results = (await house.call("GET", f"batch.results/{batch_id}?limit=50")).data["items"]
    assert len(results) == 20


async def test_work_that_is_handed_on(house: House, shown: list[tuple[str, str]]) -> None:
    own = await session(house, "delegate")
    async with house.socket(f"/ws/v1/chat/{own}") as client:
        await say(house, own, "later, please")
        [completed] = await seen(client, shown)
    assert "later, please" in completed["content"]


async def test_a_notification(house: House, shown: list[tuple[str, str]]) -> None:
    async with house.socket("/ws/v1/notifications") as client:
        body = {"user_ids": ["ann"], "title": "Done", "message": "The report is there."}
        assert (await house.internal("notification.send", body)).status == 201
        [told] = await seen(client, shown[:1])
        await house.call("PUT", f"notification.acknowledge/{told['notification_id']}")
        [acknowledged] = await seen(client, shown[1:])
    assert acknowledged["notification_id"] == told["notification_id"]
