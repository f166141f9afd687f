"""A whole conversation in each dialect: create, chat, tool, cancel, workflow, batch, reconnect."""

from typing import Any, Final

import pytest

from orchestrator.models.common.ids import new_id
from tests.platform.served import CORRELATION, FRAME, Served
from tests.platform.sockets import DIALECTS, EVENTS, Socket, open_socket
from tests.platform.vectors import vector
from tests.support.documented import name_of

NAMES: Final = {
    EVENTS: {"status": "chat.status_update", "answer": "chat.completed", "run": "workflow.status_update"},
    "domain-action": {"status": "chat.status", "answer": "chat.response", "run": "workflow.status"},
}


def envelope(name: str, **data: Any) -> Any:
    """A frame of a client."""
    domain, _, action = name.partition(".")
    return {
        "message_id": new_id(),
        "correlation_id": new_id(),
        "type": {"domain": domain, "action": action},
        "data": data,
    }


def result_of(call: Any) -> Any:
    """The documented result of a tool that the client was asked to run."""
    ids = {
        "ca110000-0000-4000-8000-000000000001": call["data"]["tool_call_id"],
        "3e550000-0000-4000-8000-000000000001": call["data"]["parent_message_id"],
    }
    return vector("ws-cl-tool-result").filled(ids | {FRAME: new_id(), CORRELATION: new_id()})


async def chats(socket: Socket, names: dict[str, str]) -> None:
    asked = envelope("chat.message", content="send the letter")
    await socket.say(asked)
    call = await socket.until("tool.execute")
    assert call["correlation_id"] == asked["correlation_id"]
    await socket.say(result_of(call))
    answer = await socket.until(names["answer"])
    assert answer["data"]["parent_message_id"] == asked["message_id"]
    await socket.until("session.state_update", lambda data: data["state"] == "ACTIVE")


async def cancels(socket: Socket, names: dict[str, str]) -> None:
    asked = envelope("chat.message", content="send the letter")
    await socket.say(asked)
    await socket.until("tool.execute")
    await socket.say(envelope("chat.cancel", message_id=asked["message_id"]))
    await socket.until(names["status"], lambda data: data["status"] == "cancelled")
    await socket.until("session.state_update", lambda data: data["state"] == "ACTIVE")


async def runs_a_workflow(served: Served, socket: Socket, session_id: str, names: dict[str, str]) -> None:
    asked = {"workflow_id": "approval", "input": {"text": "hello"}, "session_id": session_id}
    run = served.ask("POST", "/api/v1/workflow.execute", asked).data["task_id"]
    question = (await socket.until("workflow.input_request"))["data"]
    await socket.say(envelope("workflow.input", node_id=question["node_id"], input={"approved": True}, task_id=run))
    await socket.until(names["run"], lambda data: data["status"] == "completed" and run in data.values())


async def runs_a_batch(served: Served, dialect: str) -> None:
    items = [{"content": "one"}, {"content": "two"}]
    batch = served.ask("POST", "/api/v1/batch.create", {"agent_id": "echo", "items": items}).data
    async with open_socket(served, f"/ws/v1/workflow/{batch['batch_id']}", dialect) as socket:
        assert await socket.close_code() == 1000
    assert socket.seen[-1]["data"]["completed"] == 2


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_conversation_from_its_creation_to_its_end(served: Served, dialect: str) -> None:
    names = NAMES[dialect]
    created = served.ask("POST", "/api/v1/session.create", {"agent_id": "confirm"}).data
    session_id = created["session_id"]
    path = "/" + created["websocket_url"].split("/", 3)[3]
    async with open_socket(served, path, dialect) as socket:
        assert name_of(await socket.frame()) == "session.state_update"
        await chats(socket, names)
        await cancels(socket, names)
        await runs_a_workflow(served, socket, session_id, names)
        last = socket.seen[-1]
    await runs_a_batch(served, dialect)
    served.say(session_id, "send another one")
    async with open_socket(served, f"{path}?last_offset={last['offset']}&epoch={last['epoch']}", dialect) as socket:
        assert (await socket.frame())["data"]["recovered"]
        await socket.say(result_of(await socket.until("tool.execute")))
        await socket.until(names["answer"])
        offsets = [frame["offset"] for frame in socket.seen[1:]]
        assert offsets == [*range(last["offset"] + 1, offsets[-1] + 1)]
        assert served.ask("DELETE", f"/api/v1/session.close/{session_id}").status == 200
        assert await socket.close_code() == 1000
        closed = socket.seen[-1]["data"]
        assert (closed["state"], closed["status"], closed["event"]) == ("TERMINATED", "closed", "session_terminated")
