"""Frames to clients have the shapes of the platform's documents, in the dialect that the client chose."""

from typing import Any

import orjson
import pytest

from orchestrator.models.common.ids import new_id
from tests.platform.served import Served
from tests.platform.sockets import DOMAIN_ACTION, EVENTS, Socket, lacks_frame, open_socket
from tests.platform.vectors import vector
from tests.support.documented import name_of

CHAT = "/ws/v1/chat/"


async def talk(served: Served, agent: str, content: str, dialect: str = EVENTS) -> tuple[str, list[Any]]:
    """Say something over a socket; returns the session, and what came until the turn ended."""
    session_id = served.session(agent)
    async with open_socket(served, CHAT + session_id, dialect) as socket:
        await socket.until("session.state_update")
        await say(socket, content)
        await socket.until("session.state_update", lambda data: data["state"] == "PROCESSING")
        await socket.until("session.state_update", lambda data: data["state"] in {"ACTIVE", "ERROR"})
        return session_id, socket.seen


async def say(socket: Socket, content: str) -> str:
    message_id = new_id()
    kind = {"domain": "chat", "action": "message"}
    await socket.say({"message_id": message_id, "type": kind, "data": {"content": content}})
    return message_id


def of(frames: list[Any], name: str) -> list[Any]:
    return [frame for frame in frames if name_of(frame) == name]


async def test_an_answer_in_the_default_dialect(served: Served) -> None:
    _, frames = await talk(served, "echo", "Seven seats are left.")
    assert lacks_frame("ws-ev-chat-stream", of(frames, "chat.stream")[0]) == []
    [completed] = of(frames, "chat.completed")
    assert lacks_frame("ws-ev-chat-completed", completed) == []
    assert completed["data"]["token_count"] == completed["data"]["usage"]["total_tokens"]
    for status in of(frames, "chat.status_update"):
        assert lacks_frame("ws-ev-chat-status-update", status, "progress", "estimated_completion_time") == []
    for state in of(frames, "session.state_update"):
        assert lacks_frame("ws-ev-session-state-update", state) == []


async def test_an_answer_in_the_guide_s_dialect(served: Served) -> None:
    session_id, frames = await talk(served, "echo", "Seven seats are left.", DOMAIN_ACTION)
    pieces = of(frames, "chat.stream")
    [response] = of(frames, "chat.response")
    assert lacks_frame("ws-da-chat-stream", pieces[0]) == []
    assert lacks_frame("ws-da-chat-response", response, "model_used") == []
    assert {piece["data"]["response_message_id"] for piece in pieces} == {response["data"]["message_id"]}
    assert "".join(piece["data"]["chunk"]["content"] for piece in pieces) == response["data"]["content"]
    for status in of(frames, "chat.status"):
        assert lacks_frame("ws-da-chat-status", status, "progress") == []
        assert status["data"]["session_id"] == session_id
    assert not of(frames, "chat.status_update")
    assert not of(frames, "chat.completed")


async def test_a_tool_of_the_server_is_told_with_its_result(served: Served) -> None:
    _, frames = await talk(served, "calculator", "1/0")
    results = of(frames, "tool.result")
    assert results
    for result in results:
        assert result["data"]["result"]["status"] == "error"
        assert lacks_frame("ws-ev-tool-result-down", result) == []


@pytest.mark.parametrize(("dialect", "shape"), [(EVENTS, "ws-ev-tool-execute"), (DOMAIN_ACTION, "ws-da-tool-execute")])
async def test_a_tool_of_the_client_is_asked_for_and_its_result_taken(served: Served, dialect: str, shape: str) -> None:
    async with open_socket(served, CHAT + served.session("confirm"), dialect) as socket:
        await socket.until("session.state_update")
        await say(socket, "send the letter")
        asked = await socket.until("tool.execute")
        data = asked["data"]
        params = data["params"] if dialect == EVENTS else data["tool"]["parameters"]
        params |= {"place": "gate 4", "zoom": 2}
        assert lacks_frame(shape, asked) == []
        told = data["description"] if dialect == EVENTS else data["tool"]["description"]
        assert told == "Asks the person at the client whether to go on."
        ids = {
            "ca110000-0000-4000-8000-000000000001": data["tool_call_id"],
            "3e550000-0000-4000-8000-000000000001": data["parent_message_id"],
            "f4a30000-0000-4000-8000-000000000001": new_id(),
        }
        await socket.say(vector("ws-cl-tool-result").filled(ids))
        await socket.until("chat.completed" if dialect == EVENTS else "chat.response")


async def test_a_transition_has_its_documented_name(served: Served) -> None:
    named = {one["state"]: one["event"] for one in vector("ws-state-events").example}
    session_id, frames = await talk(served, "echo", "hello")
    path = f"/api/v1/session.pause/{session_id}"
    async with open_socket(served, CHAT + session_id) as socket:
        await socket.until("session.state_update")
        assert served.ask("PUT", path).status == 200
        assert served.ask("DELETE", f"/api/v1/session.close/{session_id}").status == 200
        assert await socket.close_code() == 1000
        frames += socket.seen
    told = [frame["data"] for frame in of(frames, "session.state_update") if frame["data"]["agent_id"] is None]
    assert {one["event"] for one in told} == {
        "processing_started", "session_active", "session_paused", "session_terminated",
    }  # fmt: skip
    assert all(one["event"] == named[one["state"]] for one in told)


@pytest.mark.parametrize(("dialect", "shape"), [(EVENTS, "ws-ev-system-error"), (DOMAIN_ACTION, "ws-da-error")])
async def test_a_fault_is_told_by_a_frame(served: Served, dialect: str, shape: str) -> None:
    async with open_socket(served, CHAT + served.session(), dialect) as socket:
        await socket.until("session.state_update")
        kind = {"domain": "chat", "action": "message"}
        await socket.say({"message_id": new_id(), "correlation_id": new_id(), "type": kind, "data": {}})
        fault = await socket.until("system.error")
    assert lacks_frame(shape, fault) == []
    data = fault["data"]
    if dialect == EVENTS:
        assert data["error_code"] == data["error"]["code"]
        assert data["severity"] in {"warning", "error", "critical"}
        assert data["error_details"] == {"$.data.content": "required field is missing"}
    else:
        assert (data["code"], data["details"]["field"]) == ("SYSTEM.INVALID_MESSAGE", "$.data.content")
        assert fault["status"]["code"] == 400


@pytest.mark.parametrize(
    ("dialect", "shape", "name"),
    [
        (EVENTS, "ws-ev-workflow-status-update", "workflow.status_update"),
        (DOMAIN_ACTION, "ws-da-workflow-status", "workflow.status"),
    ],
)
async def test_a_workflow_is_told_step_by_step(served: Served, dialect: str, shape: str, name: str) -> None:
    session_id = served.session()
    async with open_socket(served, CHAT + session_id, dialect) as socket:
        await socket.until("session.state_update")
        asked = {"workflow_id": "arithmetic", "input": {"expression": "6*7"}, "session_id": session_id}
        run = served.ask("POST", "/api/v1/workflow.execute", asked).data["task_id"]
        await socket.until(name, lambda data: data["status"] == "completed")
    told = of(socket.seen, name)
    for frame in told:
        assert lacks_frame(shape, frame, "estimated_completion_time") == []
        assert frame["data"]["status"] in {"queued", "processing", "completed"}
    key = "task_id" if dialect == EVENTS else "workflow_id"
    assert {frame["data"][key] for frame in told} == {run}


async def test_a_question_of_a_workflow_says_what_a_form_needs(served: Served) -> None:
    run = served.ask("POST", "/api/v1/workflow.execute", {"workflow_id": "approval"}).data["task_id"]
    async with open_socket(served, f"/ws/v1/workflow/{run}") as socket:
        asked = await socket.until("workflow.input_request")
    assert asked["type"] == vector("ws-we-input-request").example["type"]
    data = asked["data"]
    assert (data["request_id"], data["node_id"], data["input_type"]) == ("ask", "ask", "form")
    assert {"prompt", "options", "timeout_ms", "required", "schema"} <= data.keys()
    assert served.ask("DELETE", f"/api/v1/workflow.cancel/{run}").data["cancelled"]


def test_a_stream_of_events_has_the_very_frames_of_the_default_dialect(served: Served) -> None:
    asked = {"session_id": served.session(), "content": "hello", "mode": "stream"}
    headers = {"Authorization": f"Bearer {served.token}"}
    told = served.http.post(f"{served.url}/api/v1/chat.message", json=asked, headers=headers).text
    frames = [orjson.loads(line.removeprefix("data: ")) for line in told.split("\n") if line.startswith("data: ")]
    assert lacks_frame("ws-ev-chat-completed", of(frames, "chat.completed")[0]) == []
    assert "estimated_completion_time" in of(frames, "chat.status_update")[0]["data"]
