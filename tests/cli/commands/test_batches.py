"""`batches`: lists, progress and cancelling, in pipes and on a terminal."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.cli.fake_service import FakeService, run_fake
from tests.cli.runs import close_pipes, run_cli, start_cli, target
from tests.cli.terminal import open_terminal


@pytest.fixture
async def fake() -> AsyncIterator[FakeService]:
    async with run_fake() as running:
        yield running


async def test_batches_are_listed_as_a_table_of_80_columns(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "-o", "table", "batches", "list", COLUMNS="80", **target(fake))
    assert ended.out.splitlines()[0].split() == ["BATCH", "STATUS", "AGE", "TOTAL", "DONE", "FAILED"]
    assert ended.out.splitlines()[2].split() == ["b2", "completed", "4", "4", "0"]
    assert max(map(len, ended.out.splitlines())) <= 80


async def test_results_are_listed_by_status(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "batches", "results", "b1", "--status", "failed", **target(fake))
    assert json.loads(ended.out)["task_id"] == "b1.3"
    assert fake.requests == ["GET /api/v1/batch.results/b1?limit=50&status=failed"]


async def test_following_tells_progress_line_by_line_in_a_pipe(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "batches", "show", "b1", "--follow", **target(fake))
    assert ended.code == 0
    assert ended.err.splitlines() == ["1 of 4 done, 2 running", "4 of 4 done"]
    assert json.loads(ended.out)["status"] == "completed"


async def test_following_draws_a_bar_on_a_terminal(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "batches", "show", "b1", "--follow", **target(fake)) as terminal:
        await terminal.see("1/4")
        await terminal.see("4/4")
        await terminal.see("completed")
        assert await terminal.end() == 0


async def test_a_partial_batch_fails_the_command(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "batches", "show", "partial", "--follow", **target(fake))
    assert ended.code == 5
    assert "1 of 4 items were not answered." in ended.err


async def test_ctrl_c_leaves_the_batch_going_and_says_so(fake: FakeService, tmp_path: Path) -> None:
    process = await start_cli(tmp_path, "batches", "show", "endless", "--follow", **target(fake))
    assert process.stderr is not None
    with trio.fail_after(30):
        assert b"1 of 4 done" in await process.stderr.receive_some()
        process.send_signal(signal.SIGINT)
        told = b"".join([piece async for piece in process.stderr])
        code = await process.wait()
    await close_pipes(process)
    assert code == 130
    assert b"The batch goes on" in told


async def test_cancelling_asks_and_says_when_there_was_nothing_to_cancel(fake: FakeService, tmp_path: Path) -> None:
    unasked = await run_cli(tmp_path, "batches", "cancel", "b1", **target(fake))
    assert (unasked.code, fake.requests) == (2, [])
    ended = await run_cli(tmp_path, "batches", "cancel", "b1", "--yes", **target(fake))
    assert (ended.code, json.loads(ended.out)) == (0, {"batch_id": "b1", "cancelled": True})
    late = await run_cli(tmp_path, "batches", "cancel", "b2", "--yes", **target(fake))
    assert (late.code, "nothing was cancelled" in late.err) == (1, True)
