"""`top` at a real terminal: it leaves it as it was, and draws no more than it can show."""

import json
import signal
from pathlib import Path

import pytest
import trio

from tests.cli.dev.test_dev import running_stack
from tests.cli.runs import run_cli
from tests.cli.terminal import open_terminal
from tests.cli.top.driven import queue, service
from tests.support.eventually import eventually


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x03", 130)])
async def test_it_leaves_the_terminal_as_it_was(key: str, code: int, tmp_path: Path) -> None:
    async with service(queue("acme")) as fake, open_terminal(tmp_path, "top", **fake.target()) as terminal:
        await terminal.see("acme")
        assert not terminal.echoes()
        await terminal.type(key)
        assert await terminal.end() == code
        assert terminal.echoes()


async def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was_too(tmp_path: Path) -> None:
    async with service(queue("acme")) as fake, open_terminal(tmp_path, "top", **fake.target()) as terminal:
        await terminal.see("acme")
        terminal.process.send_signal(signal.SIGTERM)
        assert await terminal.end() == 1
        assert terminal.echoes()


async def test_a_service_that_hangs_does_not_delay_the_end(tmp_path: Path) -> None:
    async with service(queue("acme")) as fake, open_terminal(tmp_path, "top", **fake.target()) as terminal:
        await terminal.see("acme")
        asked = len(fake.asked)
        fake.hangs = True
        await eventually("it has asked", lambda: len(fake.asked), lambda count: count > asked)
        await terminal.type("q")
        with trio.fail_after(30):
            assert await terminal.end() == 0


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}])
async def test_a_terminal_that_can_draw_nothing_gets_text(environ: dict[str, str], tmp_path: Path) -> None:
    async with (
        service(queue("acme", backlog=7)) as fake,
        open_terminal(tmp_path, "top", **fake.target(), **environ) as terminal,
    ):
        await terminal.see("acme   active       7")
        await terminal.see("acme   active       7")
        assert "Tenants" not in terminal.seen
        await terminal.type("q")
        assert await terminal.end() == 0
        assert terminal.echoes()


async def test_a_service_that_is_away_or_refuses_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "top", ORCH_API_URL="http://127.0.0.1:9", ORCH_API_KEY="key")
    assert (ended.code, ended.out) == (4, "")
    assert "can't be reached" in ended.err


async def test_in_a_pipe_it_is_one_snapshot_in_the_format_that_is_asked_for(tmp_path: Path) -> None:
    async with service(queue("acme", backlog=7)) as fake:
        shown = {
            form: await run_cli(tmp_path, "top", "-o", form, **fake.target()) for form in ("table", "yaml", "jsonl")
        }
    assert {ended.code for ended in shown.values()} == {0}
    assert "acme   active       7" in shown["table"].out
    assert "tenants:\n" in shown["yaml"].out
    assert json.loads(shown["jsonl"].out)["tenants"][0]["backlog"] == 7


async def test_a_tenant_of_a_real_stack_its_task_and_its_timeline(tmp_path: Path) -> None:
    async with running_stack(tmp_path):
        assert (await run_cli(tmp_path, "chat", "--agent", "echo", "-m", "hello")).code == 0
        async with open_terminal(tmp_path, "top") as terminal:
            await terminal.see("acme")
            await terminal.type("\r")
            await terminal.see("chat.message")
            await terminal.type("\r")
            await terminal.see("finished completed")
            await terminal.type("q")
            assert await terminal.end() == 0
