"""The socket of services: updates of delegated work, acknowledged one by one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionRejected

from orchestrator.models.tasks.task import TaskStatus
from tests.store.desk import Desk, open_desk
from tests.websocket.stage import Client, Stage, open_stage

KEY = "a-key-of-the-workflow-engine"


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as desk:
        yield desk


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    keys = (f"engine:internal:{sha256(KEY.encode()).hexdigest()}",)
    async with open_stage(redis_url, api_keys=keys) as stage:
        yield stage


def service(stage: Stage, key: str = KEY, tenant: str = "acme") -> AbstractAsyncContextManager[Client]:
    """Open a socket as a service does."""
    headers = [("X-API-Key", key), ("X-Tenant-ID", tenant)]
    return stage.client("/internal/v1/ws/task_updates", headers=headers, anonymous=True)


async def told(client: Client, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Say something, and return the answer."""
    await client.say(name, data)
    answer: dict[str, Any] = await client.frame()
    return answer


async def test_updates_are_accepted_and_acknowledged(stage: Stage, desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    news = {"task_id": claim.task_id, "callback_token": "t"}
    async with service(stage) as client:
        progress = await told(client, "task.progress", {**news, "progress": 0.5, "current_step": "b"})
        assert progress["type"] == {"domain": "task", "action": "updated"}
        assert progress["data"] == {"task_id": claim.task_id, "accepted": True, "status": "waiting"}
        done = await told(client, "task.complete", {**news, "result": {"x": 1}})
        assert done["data"] == {"task_id": claim.task_id, "accepted": True, "status": "pending"}
        again = await told(client, "task.fail", {**news, "error": {"code": "X", "message": "No."}})
        assert again["data"] == {"task_id": claim.task_id, "accepted": False, "status": "pending"}
    assert (await desk.claim()).checkpoints()["answer:a"]["result"] == {"x": 1}


async def test_a_failure_keeps_the_code_of_its_service(stage: Stage, desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    error = {"code": "WFLOW_EXEC_001", "message": "Step b failed."}
    async with service(stage) as client:
        await told(client, "task.fail", {"task_id": claim.task_id, "callback_token": "t", "error": error})
    kept = (await desk.claim()).checkpoints()["answer:a"]["error"]
    assert (kept["code"], kept["service"], kept["retryable"]) == ("ORCH_CONN_002", "workflow_engine", False)
    assert kept["details"] == [{"path": "workflow_engine", "message": "WFLOW_EXEC_001: Step b failed."}]


async def test_a_wrong_token_is_refused_and_audited_and_the_socket_stays_open(stage: Stage, desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    async with service(stage) as client:
        for data in ({"callback_token": "a-guess"}, {}):
            refused = await told(client, "task.complete", {"task_id": claim.task_id, "result": 1, **data})
            assert refused["type"] == {"domain": "system", "action": "error"}
            assert refused["data"]["error"]["code"] == "ORCH_AUTH_003"
        unknown = await told(client, "task.complete", {"task_id": "none", "callback_token": "t", "result": 1})
        assert unknown["data"]["error"]["code"] == "ORCH_NOTF_001"
    assert stage.audit.actions.count("auth.refused") == 2
    assert await desk.status(claim) is TaskStatus.PROCESSING


async def test_bad_frames_get_their_faults(stage: Stage) -> None:
    async with service(stage) as client:
        wrong = await told(client, "task.progress", {"task_id": "t1", "progress": 2})
        assert wrong["data"]["error"]["details"][0]["path"] == "$.data.progress"
        other = await told(client, "chat.message", {"content": "Hello"})
        assert other["data"]["error"]["code"] == "ORCH_VAL_001"
        nameless = await told(client, "task.complete", {"result": 1})
        assert nameless["data"]["error"]["code"] == "ORCH_NOTF_001"


async def test_only_services_may_open_it(stage: Stage) -> None:
    with pytest.raises(ConnectionRejected) as refused:
        async with service(stage, "another-key"):
            pass
    assert refused.value.status_code == 401
    with pytest.raises(ConnectionRejected) as refused:
        async with stage.client("/internal/v1/ws/task_updates"):
            pass
    assert refused.value.status_code == 401


async def test_a_stop_sends_services_away(stage: Stage) -> None:
    async with service(stage) as client:
        await stage.until_open(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.manager.close_all)
            assert await client.close_code() == 1012
