"""Sockets open as the platform's documents write it, and say so where they do not."""

from typing import Final
from urllib.parse import urlsplit

import pytest
from trio_websocket import ConnectionRejected

from tests.platform.served import SESSION, Served, sent
from tests.platform.sockets import DIALECTS, DOMAIN_ACTION, open_socket
from tests.platform.vectors import vector

CHAT = "/ws/v1/chat/"
WORKFLOW = "/ws/v1/workflow/"
TASK: Final = "7a5c0000-0000-4000-8000-000000000001"


async def test_the_dialect_is_selected_and_the_token_may_stand_beside_it(served: Served) -> None:
    offered = vector("hdr-ws-open").example["Sec-WebSocket-Protocol"]
    assert offered == DOMAIN_ACTION
    path = CHAT + served.session()
    async with open_socket(served, path, DOMAIN_ACTION) as socket:
        assert socket.subprotocol == DOMAIN_ACTION
        await socket.until("session.state_update")
    bearer = [f"bearer.{served.token}"]
    async with open_socket(served, path, DOMAIN_ACTION, headers=[], subprotocols=bearer) as socket:
        assert socket.subprotocol == DOMAIN_ACTION
        await socket.until("session.state_update")


async def test_a_token_in_the_query_opens_a_socket_and_a_refusal_is_a_close_code(served: Served) -> None:
    path = CHAT + served.session()
    none, bad, _ = vector("hdr-ws-query-token").example["close_codes"]
    async with open_socket(served, f"{path}?token={served.token}", headers=[]) as socket:
        await socket.until("session.state_update")
    async with open_socket(served, f"{path}?token=a.b.c", headers=[]) as socket:
        assert await socket.close_code() == bad
    async with open_socket(served, path, DOMAIN_ACTION, headers=[]) as socket:
        assert await socket.close_code() == none
        assert socket.seen[0]["data"]["code"] == "SYSTEM.AUTH_FAILED"
    with pytest.raises(ConnectionRejected) as refused:
        async with open_socket(served, path, headers=[]):
            pass
    assert refused.value.status_code == 401


@pytest.mark.parametrize(("path", "code"), [(CHAT, "SESSION.NOT_FOUND"), (WORKFLOW, "ORCH_NOTF_001")])
async def test_what_is_not_there_is_no_session_where_a_run_was_asked_for(served: Served, path: str, code: str) -> None:
    async with open_socket(served, f"{path}nothing", DOMAIN_ACTION) as socket:
        assert await socket.close_code() == 4004
    assert socket.seen[0]["data"]["code"] == code


@pytest.mark.parametrize("name", ["hdr-ws-paths", "hdr-ws-paths-workflow-id"])
async def test_both_sockets_stand_at_the_documented_paths_by_the_id_of_the_answer(served: Served, name: str) -> None:
    session_id = served.session()
    batch = served.ask("POST", "/api/v1/workflow.batch", sent("rest-workflow-batch-req"))
    run = served.ask("POST", "/api/v1/workflow.execute", {"workflow_id": "approval"})
    ids = (batch.data["workflow_id"], run.data["task_id"], run.data["workflow_id"])
    assert (batch.status, run.status) == (202, 202)
    for run_id in ids:
        chat, workflow = (
            urlsplit(url).path for url in vector(name).filled({SESSION: session_id, TASK: run_id})["urls"]
        )
        async with open_socket(served, chat) as socket:
            await socket.until("session.state_update")
        assert served.ask("GET", f"/api/v1/workflow.status/{run_id}").status == 200
        async with open_socket(served, workflow) as socket:
            await socket.frame()
    served.ask("DELETE", f"/api/v1/workflow.cancel/{run.data['task_id']}")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_socket_of_a_run_takes_a_task_a_batch_and_what_a_message_is_called(
    served: Served, dialect: str
) -> None:
    session_id = served.session()
    said = served.say(session_id, "hello").data
    run = served.ask("POST", "/api/v1/workflow.execute", {"workflow_id": "arithmetic", "input": {"expression": "6*7"}})
    items = [{"content": "one"}, {"content": "two"}]
    batch = served.ask("POST", "/api/v1/batch.create", {"agent_id": "echo", "items": items})
    told = "workflow.status" if dialect == DOMAIN_ACTION else "workflow.status_update"
    for name, first in (
        (run.data["task_id"], told),
        (batch.data["batch_id"], "batch.progress"),
        (said["task_id"], told),
    ):
        async with open_socket(served, WORKFLOW + name, dialect) as socket:
            await socket.until(first)
            assert await socket.close_code() == 1000
    path = CHAT + session_id
    async with open_socket(served, path, dialect) as socket:
        await socket.until("session.state_update")


async def test_the_socket_of_a_run_takes_an_execution_and_no_other_id(served: Served) -> None:
    run = served.ask("POST", "/api/v1/workflow.execute", {"workflow_id": "approval"}).data["task_id"]
    status = f"/api/v1/workflow.status/{run}"
    served.until("it asks", lambda: served.ask("GET", status).data, lambda now: now.get("input_request"))
    async with open_socket(served, WORKFLOW + "approval") as socket:
        frame = await socket.until("workflow.status_update")
        assert (frame["data"]["task_id"], frame["data"]["workflow_id"]) == (run, "approval")
    with pytest.raises(ConnectionRejected) as refused:
        async with open_socket(served, WORKFLOW + "nothing"):
            pass
    assert refused.value.status_code == 404
    served.ask("DELETE", f"/api/v1/workflow.cancel/{run}")
