"""`chat` without a terminal: one question, its answer, and what happens on the way."""

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


@pytest.mark.parametrize(("form", "shown"), [((), "resumed\n"), (("-o", "json"), "{")])
async def test_what_keeps_an_answer_is_told_beside_it(
    form: tuple[str, ...], shown: str, fake: FakeService, tmp_path: Path
) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "paused", *form, **target(fake))
    assert (ended.code, ended.out[: len(shown)]) == (0, shown)
    assert ended.err == "The turn waits. Its tenant is paused: nothing starts until it is resumed.\n"


async def test_an_answer_that_does_not_come_in_time_is_told_by_exit_code(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "hang", "--timeout", "500ms", "-o", "json", **target(fake))
    assert (ended.code, ended.out, "There was no answer within 0.5 s." in ended.err) == (5, "", True)


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


async def test_ctrl_c_ends_a_chat_that_waits_for_its_session(fake: FakeService, tmp_path: Path) -> None:
    fake.silent = "session.create"
    process = await start_cli(tmp_path, "chat", "-m", "hi", **target(fake))
    with trio.fail_after(10):
        await fake.asked.wait()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    await close_pipes(process)


async def test_a_session_that_is_not_there_is_told_by_exit_code(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "--session", "nowhere", "-m", "hi", **target(fake))
    assert (ended.code, ended.err) == (3, "There is no session nowhere.\n")


async def test_a_service_that_is_away_is_told_by_exit_code(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "hi", ORCH_API_URL="http://127.0.0.1:9", ORCH_TOKEN="t")
    assert ended.code == 4
    assert ended.err.startswith("http://127.0.0.1:9 can't be reached: ")
    assert ended.err.count("\n") == 2


async def test_the_finished_answer_as_json_has_its_ids_and_sources(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "sources", "-o", "json", **target(fake))
    answer = json.loads(ended.out)
    assert (ended.code, ended.err, answer["content"], answer["status"]) == (0, "", "as written", "completed")
    assert answer["sources"] == [{"title": "Draining", "path": "docs/drain.md"}]
    assert (answer["session_id"], answer["task_id"], answer["error"]) == ("session-1", "task-1", None)


async def test_a_failed_turn_as_json_has_its_error_and_exits_with_1(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "fail", "-o", "json", **target(fake))
    assert (ended.code, json.loads(ended.out)["error"]["code"]) == (1, "ORCH_CONN_001")


async def test_events_come_as_lines_of_json(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "a b", "-o", "jsonl", **target(fake))
    frames = [json.loads(line) for line in ended.out.splitlines()]
    assert [frame["type"]["action"] for frame in frames] == ["status_update", "stream", "stream", "completed"]
    assert ended.code == 0


async def test_json_is_for_single_messages(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "chat", "-o", "json", **target(fake)) as terminal:
        await terminal.see("-o json needs -m or a pipe")
        assert await terminal.end() == 2


async def test_the_last_session_that_is_open_is_continued(fake: FakeService, tmp_path: Path) -> None:
    fake.sessions = [("gone", "TERMINATED"), ("session-1", "PAUSED"), ("older", "ACTIVE")]
    ended = await run_cli(tmp_path, "chat", "--continue", "-m", "again", **target(fake))
    assert (ended.code, ended.out) == (0, "again\n"), ended.err
    assert fake.messages == [{"session_id": "session-1", "content": "again"}]
    assert not any("session.create" in request for request in fake.requests)


async def test_without_a_session_there_is_nothing_to_continue(fake: FakeService, tmp_path: Path) -> None:
    fake.sessions = [("gone", "TERMINATED")]
    ended = await run_cli(tmp_path, "chat", "-c", "--agent", "echo", "-m", "again", **target(fake))
    assert (ended.code, ended.err.splitlines()[0]) == (3, "There is no session with echo to continue.")
    assert any("session.list" in request and "agent_id=echo" in request for request in fake.requests)


async def test_a_session_by_name_and_the_last_one_exclude_each_other(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-c", "--session", "session-1", "-m", "again", **target(fake))
    assert ended.code == 2


async def test_what_is_piped_follows_the_message(fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", "Summarize", given="some text\n", **target(fake))
    assert ended.code == 0
    assert fake.messages[0]["content"] == "Summarize\n\nsome text"


@pytest.mark.parametrize(("content", "said"), [("tool runs", "2"), ("tool fails", "failed: Division by zero.")])
async def test_a_tool_is_told_with_its_result_once(content: str, said: str, fake: FakeService, tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "chat", "-m", content, **target(fake))
    assert (ended.code, ended.out) == (0, "so it is\n")
    assert ended.err == f'⚙ calculator({{"expression": "1+1"}}) → {said}\n'
