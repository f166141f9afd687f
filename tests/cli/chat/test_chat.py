"""`chat` without a terminal: one question, its answer, and what happens on the way."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.cli.fake_service import FakeService, run_fake
from tests.cli.runs import close_pipes, run_cli, start_cli, target


@pytest.fixture
async def fake() -> AsyncIterator[FakeService]:
    async with run_fake() as running:
        yield running


async def test_a_question_is_answered_on_stdout(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "--agent", "echo", "-m", "one two three", **target(fake))
    assert (ended.code, ended.out, ended.err) == (0, "one two three\n", "")


async def test_a_question_may_come_through_a_pipe(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", given="from a pipe", **target(fake))
    assert (ended.code, ended.out) == (0, "from a pipe\n")


async def test_an_answer_shows_sources_tools_and_what_it_had_to_do_without(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "sources", **target(fake))
    assert ended.out == "as written\n\nSources:\n  [1] Draining — docs/drain.md\n"
    assert ended.err == '⚙ calculator({"expression": "1+1"}) → 2\nAnswered without: conversation.\n'


async def test_a_lost_connection_costs_no_word_and_doubles_none(fake: FakeService, tmp_path: Path) -> None:
    fake.drop_after = 4
    ended = await run_cli(tmp_path, "chat", "-m", "a b c d e f", **target(fake))
    assert (ended.code, ended.out) == (0, "a b c d e f\n")
    assert ended.err == "The connection was lost; reconnecting …\nConnected.\n"
    assert fake.connections == ["", "last_offset=4&epoch=e1"]


async def test_an_answer_that_starts_over_is_shown_from_its_beginning(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "start over", **target(fake))
    assert ended.out == "half an ans\nthe whole answer\n"
    assert "starts over" in ended.err


async def test_a_failed_turn_fails_the_command(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "fail", **target(fake))
    assert (ended.code, ended.err) == (1, "The turn failed: Agent Execution is away. (ORCH_CONN_001)\n")


@pytest.mark.parametrize(("options", "confirmed"), [((), False), (("--yes",), True)])
async def test_without_a_terminal_only_the_option_yes_confirms(
    options: tuple[str, ...], confirmed: bool, fake: FakeService, tmp_path: Path
) -> None:
    ended = await run_cli(tmp_path, "chat", *options, "-m", "confirm", **target(fake))
    assert ended.code == 0
    assert fake.tool_results[0]["tool_call_id"] == "call-1"
    assert fake.tool_results[0]["result"]["data"] == {"confirmed": confirmed}


async def test_ctrl_c_cancels_the_turn(fake: FakeService, tmp_path: Path) -> None:
    process = await start_cli(tmp_path, "chat", "-m", "hang", **target(fake))
    with trio.fail_after(10):
        await fake.asked.wait()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    assert fake.log[-1]["data"]["status"] == "cancelled"
    assert process.stderr is not None
    assert await process.stderr.receive_some() == b"Cancelling \xe2\x80\xa6\nThe turn was cancelled.\n"
    await close_pipes(process)


async def test_a_session_that_is_not_there_is_told_by_exit_code(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "--session", "nowhere", "-m", "hi", **target(fake))
    assert (ended.code, ended.err) == (3, "There is no session nowhere.\n")


async def test_a_service_that_is_away_is_told_by_exit_code(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "hi", ORCH_API_URL="http://127.0.0.1:9", ORCH_TOKEN="t")
    assert ended.code == 4
    assert ended.err.startswith("http://127.0.0.1:9 can't be reached: ")
    assert ended.err.count("\n") == 2
