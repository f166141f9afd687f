"""What a client sees of a batch."""

import pytest
from trio_websocket import ConnectionRejected

from orchestrator.models.tasks.batch import BatchProgress, BatchStatus
from tests.websocket.stage import Stage

PATH = "/ws/v1/workflow/b1"


def progress(completed: int, status: BatchStatus = BatchStatus.RUNNING) -> BatchProgress:
    return BatchProgress("b1", completed, 0, 9, 0, status)


async def test_progress_comes_as_it_is_told_and_the_end_closes_the_socket(stage: Stage) -> None:
    async with stage.client(PATH) as client:
        first = await client.next("batch.progress")
        assert (first["offset"], first["data"]["total"], first["data"]["status"]) == (0, 9, "running")
        await stage.batch_log.append("batch.progress", progress(4))
        assert (await client.next("batch.progress"))["data"]["completed"] == 4
        await stage.batch_log.append("batch.progress", progress(9, BatchStatus.COMPLETED))
        last = await client.next("batch.progress")
        assert (last["offset"], last["data"]["status"]) == (2, "completed")
        assert await client.close_code() == 1000


async def test_a_client_resumes_where_it_was(stage: Stage) -> None:
    for completed in (1, 2, 3):
        await stage.batch_log.append("batch.progress", progress(completed))
    stage.batches.change("b1", completed=3, pending=6)
    async with stage.client(f"{PATH}?last_offset=1&epoch=e1") as client:
        told = [await client.next("batch.progress") for _ in range(3)]
        assert [(frame["offset"], frame["data"]["completed"]) for frame in told] == [(1, 3), (2, 2), (3, 3)]


async def test_a_batch_that_has_ended_is_told_and_that_is_all(stage: Stage) -> None:
    stage.batches.change("b1", status=BatchStatus.COMPLETED, completed=9, pending=0)
    async with stage.client(PATH) as client:
        assert (await client.next("batch.progress"))["data"]["completed"] == 9
        assert await client.close_code() == 1000


async def test_the_socket_of_a_batch_takes_no_message(stage: Stage) -> None:
    async with stage.client(PATH) as client:
        await client.next("batch.progress")
        await client.say("chat.message", {"content": "hi"})
        assert (await client.next("system.error"))["data"]["error"]["code"] == "ORCH_NOTF_001"
        await client.say("system.ping", {})
        await client.next("system.pong")
        assert stage.chat.sent == []


@pytest.mark.parametrize(
    ("path", "user", "permissions", "status"),
    [
        ("/ws/v1/workflow/b2", "ada", None, 404),
        (PATH, "bob", None, 404),
        (PATH, "ada", ["session:read"], 403),
    ],
)
async def test_a_batch_of_others_can_not_be_followed(
    stage: Stage, path: str, user: str, permissions: list[str] | None, status: int
) -> None:
    with pytest.raises(ConnectionRejected) as refused:
        async with stage.client(path, token=stage.token(user, permissions=permissions)):
            pass
    assert refused.value.status_code == status
