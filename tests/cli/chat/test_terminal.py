"""`chat` at a terminal: keys in, letters out."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.cli.fake_service import FakeService, run_fake
from tests.cli.runs import target
from tests.cli.terminal import Terminal, open_terminal

CTRL_C = "\x03"
CTRL_D = "\x04"
UP = "\x1b[A"


@pytest.fixture
async def fake() -> AsyncIterator[FakeService]:
    async with run_fake() as running:
        yield running


@pytest.fixture
async def terminal(fake: FakeService, tmp_path: Path) -> AsyncIterator[Terminal]:
    async with open_terminal(tmp_path, "chat", "--agent", "echo", **target(fake)) as opened:
        await opened.see("echo> ")
        yield opened


async def test_two_ctrl_c_on_an_empty_line_leave(terminal: Terminal) -> None:
    await terminal.type(CTRL_C)
    await terminal.see("Press Ctrl-C again to leave; so do Ctrl-D and /quit.")
    await terminal.see("echo> ")
    await terminal.type(CTRL_C)
    await terminal.see("nooble-orch chat --session session-1")
    assert await terminal.end() == 0
    assert terminal.echoes()


async def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)
    assert await terminal.end() == 130
    assert terminal.echoes()


async def test_a_history_that_can_not_be_kept_keeps_no_chat_from_being_held(fake: FakeService, tmp_path: Path) -> None:
    environ = {**target(fake), "XDG_STATE_HOME": "/proc"}
    async with open_terminal(tmp_path, "chat", "--agent", "echo", **environ) as opened:
        await opened.see("The history of chats can't be read in /proc/nooble-orch: No such file or directory.")
        await opened.see("echo> ")
        await opened.type(CTRL_D)
        assert await opened.end() == 0


async def test_a_ctrl_c_that_comes_too_late_for_an_answer_does_not_leave(terminal: Terminal) -> None:
    await terminal.enter("some words")
    await terminal.see("some words\n")
    await terminal.see("some words\n")
    await terminal.see("echo> ")
    await terminal.type(CTRL_C)
    await terminal.see("echo> ")
    await terminal.enter("/quit")
    assert await terminal.end() == 0


async def test_ctrl_c_throws_away_what_is_on_the_line_and_no_more(terminal: Terminal, fake: FakeService) -> None:
    await terminal.type("nothing of" + CTRL_C)
    await terminal.see("echo> ")
    await terminal.enter("this")
    await terminal.see("this\n")
    await terminal.see("this\n")
    await terminal.see("echo> ")
    assert [message["content"] for message in fake.messages] == ["this"]
    await terminal.type(CTRL_D)
    assert await terminal.end() == 0


async def test_ctrl_c_cancels_an_answer_and_the_chat_goes_on(terminal: Terminal, fake: FakeService) -> None:
    await terminal.enter("hang")
    with trio.fail_after(10):
        await fake.asked.wait()
    await terminal.type(CTRL_C)
    await terminal.see("The turn was cancelled.")
    await terminal.see("echo> ")
    await terminal.enter("/quit")
    assert await terminal.end() == 0


async def test_ctrl_c_gives_up_a_command_that_waits_and_the_chat_goes_on(terminal: Terminal, fake: FakeService) -> None:
    fake.silent = "session.get"
    await terminal.enter("/state")
    with trio.fail_after(10):
        await fake.asked.wait()
    await terminal.type(CTRL_C)
    await terminal.see("No longer waiting.")
    await terminal.see("echo> ")
    await terminal.enter("/quit")
    assert await terminal.end() == 0


async def test_lines_that_are_pasted_together_are_one_message(terminal: Terminal, fake: FakeService) -> None:
    await terminal.type("\x1b[200~/first\rsecond\r\rthird\x1b[201~")
    await terminal.see("third")
    assert fake.messages == []
    await terminal.type("\r")
    await terminal.see("echo> ")
    assert [message["content"] for message in fake.messages] == ["/first\nsecond\n\nthird"]


async def test_a_message_of_several_lines_comes_back_as_one_in_the_next_chat(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "chat", **target(fake)) as first:
        await first.see("> ")
        await first.type("\x1b[200~one\rtwo\x1b[201~\r")
        await first.see("docs-guide> ")
        await first.enter("/quit")
        assert await first.end() == 0
    async with open_terminal(tmp_path, "chat", **target(fake)) as second:
        await second.see("> ")
        await second.type(UP + UP + "\r")
        await second.see("docs-guide> ")
    assert [message["content"] for message in fake.messages] == ["one\ntwo", "one\ntwo"]


async def test_tab_completes_the_commands_of_the_chat(terminal: Terminal) -> None:
    await terminal.type("/st\t\r")
    await terminal.see("state            ACTIVE")
    await terminal.see("echo> ")
    await terminal.type("/h\t")
    await terminal.see("/help")
    await terminal.see("/history")


async def test_tab_completes_the_agents_behind_their_command(terminal: Terminal, fake: FakeService) -> None:
    await terminal.type("/agent c\t\r")
    await terminal.see("calculator> ")
    assert fake.assigned == [{"agent_id": "calculator"}]


async def test_messages_of_several_lines(terminal: Terminal, fake: FakeService) -> None:
    await terminal.enter("one\\")
    await terminal.see("… ")
    await terminal.enter("two")
    await terminal.see("echo> ")
    await terminal.enter('"""three')
    await terminal.see("… ")
    await terminal.enter('four"""')
    await terminal.see("echo> ")
    assert [message["content"] for message in fake.messages] == ["one\ntwo", "three\nfour"]


async def test_the_agent_asks_and_the_person_answers(terminal: Terminal, fake: FakeService) -> None:
    await terminal.enter("confirm")
    await terminal.see("The agent asks: Really? [y/n] ")
    await terminal.enter("perhaps")
    await terminal.see("y or n? ")
    await terminal.enter("y")
    await terminal.see("echo> ")
    assert fake.tool_results[0]["result"]["data"] == {"confirmed": True}


async def test_commands_tell_of_state_trace_and_usage(terminal: Terminal, fake: FakeService) -> None:
    await terminal.enter("sources")
    await terminal.see("[1] Draining — docs/drain.md")
    await terminal.see("Answered without: conversation.")
    await terminal.see("echo> ")
    await terminal.enter("/trace")
    await terminal.see("task_id          task-1")
    await terminal.see("correlation-1  2026-01-01T00:00:00.000Z  1.50 s")
    await terminal.see("accepted")
    await terminal.see("claimed on node-1")
    await terminal.enter("/state")
    await terminal.see("state            ACTIVE")
    await terminal.enter("/usage")
    await terminal.see("Answers of this chat: 1")
    await terminal.enter("/nonsense")
    await terminal.see("There is no command /nonsense; /help lists them.")
    await terminal.enter("/agent")
    await terminal.see("* echo             1.1.0    Says what you said.")
    await terminal.see("  calculator       1.0.0")
    await terminal.enter("/agent nobody")
    await terminal.see("There is no agent 'nobody'.")
    await terminal.enter("/agent calculator 1.0.0")
    await terminal.see("calculator> ")
    assert fake.assigned == [{"agent_id": "nobody"}, {"agent_id": "calculator", "version": "1.0.0"}]


async def test_a_lost_connection_is_told_and_mended(terminal: Terminal, fake: FakeService) -> None:
    fake.drop_after = 3
    await terminal.enter("a b c d")
    await terminal.see("reconnecting …")
    await terminal.see("Connected.")
    await terminal.see("a b c d\n")
    await terminal.see("echo> ")


async def test_markdown_is_drawn_and_nothing_steers_the_terminal(terminal: Terminal) -> None:
    await terminal.enter("**bold**\\")
    await terminal.see("… ")
    await terminal.enter("and \x16\x1b]0;evil\x16\x07 end")
    await terminal.see("bold and ]0;evil end")
    await terminal.see("echo> ")


async def test_earlier_lines_come_back_in_the_next_chat(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "chat", **target(fake)) as first:
        await first.see("> ")
        await first.enter("remember me")
        await first.see("remember me\n")
        await first.see("remember me\n")
        await first.enter("/quit")
        assert await first.end() == 0
    history = tmp_path / ".local" / "state" / "nooble-orch" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    async with open_terminal(tmp_path, "chat", **target(fake)) as second:
        await second.see("> ")
        await second.type(UP + UP)
        await second.see("remember me")


async def test_closing_asks_and_no_means_no(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "sessions", "close", "session-1", **target(fake)) as terminal:
        await terminal.see("Close session session-1 for good? [y/N]: ")
        await terminal.enter("n")
        await terminal.see("Nothing was changed.")
        assert await terminal.end() == 1
    assert not fake.closed


async def test_while_a_tool_runs_its_call_is_shown_and_then_its_result(terminal: Terminal, fake: FakeService) -> None:
    await terminal.enter("tool hangs")
    for _ in range(2):
        await terminal.see('calculator({"expression": "1+1"}) ')
    fake.append(
        "tool.result", tool_call_id="call-1", parent_message_id="message-1", result={"status": "success", "data": 2}
    )
    await terminal.see('⚙ calculator({"expression": "1+1"}) → 2')
    await terminal.see("working")
    fake.answer("message-1", "so it is")
    await terminal.see("so it is\n")
    await terminal.see("echo> ")


async def test_nothing_is_drawn_over_a_question_of_the_agent(terminal: Terminal) -> None:
    await terminal.enter("confirm")
    await terminal.see("[y/n] ")
    await trio.sleep(0.8)
    await terminal.type("y\r")
    assert "working" not in await terminal.see("echo> ")


async def test_a_terminal_that_can_not_draw_gets_plain_text(fake: FakeService, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "chat", "--agent", "echo", **target(fake), TERM="dumb") as terminal:
        await terminal.see("echo> ")
        await terminal.enter("**as** it is")
        await terminal.see("\n**as** it is\n")
        await terminal.see("echo> ")
