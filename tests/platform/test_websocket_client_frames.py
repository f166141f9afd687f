"""What clients send in the platform's documents is taken, in both dialects, and nothing else."""

from typing import Any

import pytest
import trio

from orchestrator.models.common.ids import new_id
from tests.platform.served import CORRELATION, FRAME, MESSAGE, SESSION, Served, sent
from tests.platform.sockets import DIALECTS, DOMAIN_ACTION, EVENTS, Socket, open_socket
from tests.platform.test_websocket_frames import CHAT, of, say
from tests.platform.vectors import vector
from tests.support.documented import name_of

TASK = "7a5c0000-0000-4000-8000-000000000001"
ANSWER = "a5e40000-0000-4000-8000-000000000001"


def frame(name: str, **ids: str) -> Any:
    """A documented frame with ids of its own."""
    places = {"task": TASK, "session": SESSION, "answer": ANSWER}
    own = {FRAME: new_id(), CORRELATION: new_id()}
    return vector(name).filled(own | {places[key]: value for key, value in ids.items()})


def run(served: Served, workflow_id: str = "approval", session_id: str | None = None) -> str:
    """Start a workflow, which waits for its user; returns its task."""
    asked = {"workflow_id": workflow_id, "session_id": session_id}
    return str(served.ask("POST", "/api/v1/workflow.execute", asked).data["task_id"])


async def nothing_else(socket: Socket) -> None:
    """Make sure that everything that was sent has come."""
    await socket.say(frame("ws-cl-system-ping"))
    await socket.until("system.pong")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_ping_without_correlation_is_answered(served: Served, dialect: str) -> None:
    async with open_socket(served, CHAT + served.session(), dialect) as socket:
        sent = frame("ws-cl-system-ping")
        await socket.say(sent)
        pong = await socket.until("system.pong")
        assert pong["data"]["client_timestamp"] == sent["data"]["client_timestamp"]
        sent["data"]["client_info"]["colour"] = "red"
        await socket.say(sent)
        fault = (await socket.until("system.error"))["data"]
    paths = [one["path"] for one in fault["error"]["details"]] if dialect == EVENTS else [fault["details"]["field"]]
    assert paths == ["$.data.client_info.colour"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("named", ["task", "definition", "correlation", "request"])
async def test_a_run_is_stopped_by_any_id(served: Served, dialect: str, named: str) -> None:
    task_id = run(served)
    told = "workflow.status_update" if dialect == EVENTS else "workflow.status"
    other = run(served) if named in {"correlation", "request"} else None
    async with (
        open_socket(served, f"/ws/v1/workflow/{task_id}", dialect) as follower,
        open_socket(served, CHAT + served.session(), dialect) as socket,
    ):
        sent = frame("ws-cl-workflow-cancel", task=task_id if named == "task" else "approval")
        if named == "correlation":
            sent["correlation_id"] = task_id
        if named == "request":
            started = served.ask("GET", f"/api/v1/workflow.status/{task_id}")
            sent["correlation_id"] = started.data["correlation_id"]
        await socket.say(sent)
        await follower.until(told, lambda data: data["status"] == "cancelled")
        assert await follower.close_code() == 1000
        await nothing_else(socket)
        assert not of(socket.seen, "system.error")
    if other is not None:
        assert served.ask("GET", f"/api/v1/workflow.status/{other}").data["finished_at"] is None
        served.ask("DELETE", f"/api/v1/workflow.cancel/{other}")


async def test_a_workflow_without_an_open_run_is_refused_by_its_path(served: Served) -> None:
    async with open_socket(served, CHAT + served.session()) as socket:
        await socket.say(frame("ws-cl-workflow-cancel", task="nothing"))
        assert (await socket.until("system.error"))["data"]["error_code"] == "ORCH_NOTF_001"
        both = frame("ws-cl-workflow-cancel")
        both["data"]["task_id"] = "t1"
        await socket.say(both)
        fault = (await socket.until("system.error"))["data"]
        assert list(fault["error_details"]) == ["$.data.workflow_id"]


async def test_a_message_is_stopped_by_the_names_of_the_documents(served: Served) -> None:
    session_id = served.session("confirm")
    async with open_socket(served, CHAT + session_id) as socket:
        await say(socket, "delete it")
        call = (await socket.until("tool.execute"))["data"]
        cancel = sent("rest-chat-cancel-req", {SESSION: "another", MESSAGE: call["parent_message_id"]})
        await socket.say(cancel)
        fault = (await socket.until("system.error"))["data"]
        assert (fault["error_code"], list(fault["error_details"])) == ("ORCH_VAL_002", ["$.data.session_id"])
        cancel["data"]["session_id"] = session_id
        await socket.say(cancel)
        await socket.until("chat.status_update", lambda data: data["status"] == "cancelled")


@pytest.mark.parametrize("notified", [True, False])
async def test_other_sockets_of_the_session_are_spared_where_the_client_says_so(served: Served, notified: bool) -> None:
    session_id = served.session()
    async with (
        open_socket(served, CHAT + session_id) as socket,
        open_socket(served, CHAT + session_id) as other,
    ):
        task_id = run(served, session_id=session_id)
        for one in (socket, other):
            await one.until("workflow.input_request")
        sent = frame("ws-cl-workflow-cancel", task=task_id)
        sent["data"]["notify_user"] = notified
        await socket.say(sent)
        ended = await socket.until("workflow.status_update", lambda data: data["status"] == "cancelled")
        assert ended["data"]["task_id"] == task_id
        path = f"/api/v1/workflow.status/{task_id}"
        served.until("it ends", lambda: served.ask("GET", path).data, lambda now: now["finished_at"])
        await nothing_else(other)
        told = [one for one in of(other.seen, "workflow.status_update") if one["data"]["status"] == "cancelled"]
        assert bool(told) is notified


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_first_frame_of_a_client_that_knows_nothing(served: Served, dialect: str) -> None:
    session_id = served.session()
    served.say(session_id, "hello", mode="wait")
    async with open_socket(served, CHAT + session_id, dialect) as socket:
        await socket.say(frame("ws-cl-session-sync-first", session=session_id))
        await socket.until("session.snapshot")
        state = socket.seen[-2]
        assert (name_of(state), state["data"]["session_id"]) == ("session.state_update", session_id)
        assert [one["content"] for one in socket.seen[-1]["data"]["messages"]] == ["hello", "hello"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("named", ["answer", "question", "frame", "unknown"])
async def test_a_client_goes_on_behind_what_it_names(served: Served, dialect: str, named: str) -> None:
    session_id = served.session()
    async with open_socket(served, CHAT + session_id, dialect) as socket:
        question = await say(socket, "one")
        name = "chat.completed" if dialect == EVENTS else "chat.response"
        answer = await socket.until(name)
        await socket.until("session.state_update", lambda data: data["state"] == "ACTIVE")
        await say(socket, "two")
        second = await socket.until(name)
        await socket.until("session.state_update", lambda data: data["state"] == "ACTIVE")
    task_id = run(served)
    last = {
        "answer": answer["data"]["message_id"],
        "question": question,
        "frame": answer["message_id"],
        "unknown": new_id(),
    }[named]
    async with open_socket(served, CHAT + session_id, dialect) as socket:
        await socket.until("session.state_update")
        sent = frame("ws-cl-session-sync", session=session_id, answer=last, task=task_id)
        sent["data"]["client_state"]["active_workflows"].append("another-s")
        await socket.say(sent)
        await socket.until("workflow.status_update" if dialect == EVENTS else "workflow.status")
        state, *missed, standing = socket.seen[1:]
    assert name_of(state) == "session.state_update"
    assert standing["data"]["status"] == "processing"
    assert task_id in {standing["data"]["workflow_id"], standing["data"]["task_id"]}
    offsets = [one["offset"] for one in missed]
    if named == "unknown":
        assert not state["data"]["recovered"]
        assert name_of(missed[0]) == "session.snapshot"
    else:
        assert state["data"]["recovered"]
        assert offsets == [*range(offsets[0], offsets[-1] + 1)]
        assert second["message_id"] in {one["message_id"] for one in missed}
        assert (answer["message_id"] in {one["message_id"] for one in missed}) is (named == "question")
    served.ask("DELETE", f"/api/v1/workflow.cancel/{task_id}")


async def test_another_session_is_refused_and_what_no_document_names(served: Served) -> None:
    async with open_socket(served, CHAT + served.session(), DOMAIN_ACTION) as socket:
        await socket.say(frame("ws-cl-session-sync"))
        fault = await socket.until("system.error")
        assert (fault["status"]["code"], fault["data"]["details"]["field"]) == (422, "$.data.session_id")
        odd = frame("ws-cl-session-sync-first", session=socket.seen[0]["data"]["session_id"])
        odd["data"]["client_state"]["mood"] = "good"
        await socket.say(odd)
        assert (await socket.until("system.error"))["data"]["details"]["field"] == "$.data.client_state.mood"
        await trio.lowlevel.checkpoint()
