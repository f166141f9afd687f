"""`dev`: a whole stack that lives and dies with its command."""

import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import trio
from attrs import frozen

from cli.core.failures import CliFailure
from cli.dev.plan import make_plan
from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.cli.terminal import open_terminal
from tests.support.eventually import eventually
from tests.support.forked import ForkedProcess


@frozen
class Running:
    """A stack that serves."""

    process: ForkedProcess
    home: Path
    described: dict[str, Any]

    async def gone(self) -> None:
        """Wait until nothing of it listens any more."""
        await eventually("nothing of the stack listens", self._listening, lambda names: names == [])

    def _listening(self) -> list[str]:
        return [name for name in ("api_url", "sandbox_url", "redis_url") if _listens(self.described[name])]


def _listens(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


@asynccontextmanager
async def running_stack(home: Path, *options: str) -> AsyncIterator[Running]:
    process = await start_cli(home, "dev", "--port", "0", *options)
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            line = await process.stdout.receive_some()
        described = json.loads((home / ".nooble" / "dev.json").read_text())
        assert line == f"ready {described['api_url']}\n".encode()
        yield Running(process, home, described)
    finally:
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
                await process.wait()
            await close_pipes(process)


async def test_one_question_starts_everything_answers_and_leaves_nothing(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "dev", "--agent", "echo", "-m", "hello from here")
    assert (ended.code, ended.out, ended.err) == (0, "hello from here\n", "")
    assert not (tmp_path / ".nooble" / "dev.json").exists()
    assert stat.S_IMODE((tmp_path / ".nooble" / "jwt-secret").stat().st_mode) == 0o600


async def test_a_stack_in_a_pipe_serves_other_commands_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with running_stack(tmp_path) as stack:
        dev_json = tmp_path / ".nooble" / "dev.json"
        assert stat.S_IMODE(dev_json.stat().st_mode) == 0o600
        assert set(stack.described) == {
            "api_url", "ws_url", "redis_url", "sandbox_url", "pid", "tenants", "api_keys",
        }  # fmt: skip
        assert stack.described["pid"] == stack.process.pid
        assert set(stack.described["tenants"]) == {"acme", "globex"}
        answered = await run_cli(tmp_path, "chat", "--agent", "echo", "--tenant", "globex", "-m", "from globex")
        assert (answered.code, answered.out) == (0, "from globex\n"), answered.err
        refused = await run_cli(tmp_path, "dev", "--port", "0")
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith("Another stack is running in ")
        health = await run_cli(tmp_path, "doctor")
        assert health.code == 0, health.out
        stack.process.send_signal(signal.SIGTERM)
        with trio.fail_after(10):
            assert await stack.process.wait() == 0
        assert not dev_json.exists()
        await stack.gone()
    async with running_stack(tmp_path):
        listed = await run_cli(tmp_path, "sessions", "list", "--tenant", "globex")
        assert json.loads(listed.out)["agent_id"] == "echo"


async def test_a_stack_that_is_killed_takes_everything_with_it(tmp_path: Path) -> None:
    async with running_stack(tmp_path, "--workers", "2") as stack:
        stack.process.send_signal(signal.SIGKILL)
        assert await stack.process.wait() == -signal.SIGKILL
        await stack.gone()
        ended = await run_cli(tmp_path, "tasks", "list")
        assert (ended.code, ended.err.splitlines()[0]) == (4, "There is no service to talk to.")


async def test_a_part_that_dies_ends_the_stack_and_is_named(tmp_path: Path) -> None:
    async with running_stack(tmp_path) as stack:
        with redis.Redis.from_url(stack.described["redis_url"]) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        with trio.fail_after(15):
            assert await stack.process.wait() == 1
        assert stack.process.stderr is not None
        told = (await stack.process.stderr.receive_some()).decode()
        assert "Redis ended with status 137.\nHint: " in told
        assert "redis.log ends with:" in told
        await stack.gone()


async def test_a_person_starts_a_stack_and_chats(tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "dev", "--port", "0", "--agent", "confirm") as terminal:
        await terminal.see("service  http://127.0.0.1:")
        await terminal.see("page     http://127.0.0.1:")
        await terminal.see("/examples/chat.html#api=http://127.0.0.1:")
        await terminal.see("confirm> ")
        await terminal.enter("delete it")
        await terminal.see("[y/n] ")
        await terminal.enter("y")
        await terminal.see("Confirmed: delete it")
        await terminal.see("confirm> ")
        await terminal.enter("/quit")
        assert await terminal.end() == 0
        assert terminal.echoes()


async def test_one_ctrl_c_on_an_empty_line_does_not_end_the_stack_and_two_do(tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "dev", "--port", "0", "--agent", "echo") as terminal:
        await terminal.see("echo> ")
        await terminal.type("\x03")
        await terminal.see("Press Ctrl-C again to leave and to stop the stack; so do Ctrl-D and /quit.")
        await terminal.see("echo> ")
        await terminal.enter("still there")
        await terminal.see("still there\n")
        await terminal.see("still there\n")
        await terminal.see("echo> ")
        # One that comes within a second of an answer is taken as meant for it.
        await trio.sleep(1.1)
        await terminal.type("\x03")
        await terminal.see("Press Ctrl-C again to leave and to stop the stack; so do Ctrl-D and /quit.")
        await terminal.see("echo> ")
        await terminal.type("\x03")
        assert await terminal.end() == 0
        assert terminal.echoes()


async def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = await run_cli(tmp_path, "dev", "--port", str(port))
    assert ended.code == 1
    assert ended.err.splitlines()[0] == f"Port {port} can't be used: Address already in use."


async def test_wrong_settings_are_told_before_anything_starts(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "dev", "--port", "0", ORCH_LEASE="long", ORCH_CONCURRENCY="0")
    assert ended.code == 2
    assert "ORCH_LEASE: expected a number; ORCH_CONCURRENCY: expected" in ended.err
    assert not (tmp_path / ".nooble" / "redis.log").exists()


def test_a_service_with_a_url_of_its_own_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SERVICES__QUERY__URL", "http://127.0.0.1:9/mine")
    plan = make_plan(tmp_path, 0, 1)
    assert plan.environ["ORCH_SERVICES__QUERY__URL"] == "http://127.0.0.1:9/mine"
    assert "query" not in plan.sandboxed
    assert plan.environ["ORCH_SERVICES__EMBEDDING__URL"] == f"{plan.sandbox_url}/embedding"


def test_pages_of_this_machine_may_call_unless_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_plan(tmp_path, 0, 1).environ["ORCH_ALLOWED_ORIGINS"] == "http://localhost:*,http://127.0.0.1:*,null"
    monkeypatch.setenv("ORCH_ALLOWED_ORIGINS", "https://app.example")
    assert make_plan(tmp_path, 0, 1).environ["ORCH_ALLOWED_ORIGINS"] == "https://app.example"


def test_the_secret_of_a_stack_stays_the_same(tmp_path: Path) -> None:
    assert make_plan(tmp_path, 0, 1).secret == make_plan(tmp_path, 0, 1).secret


def test_a_stack_does_not_use_a_foreign_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "ORCH_REDIS_URL" not in make_plan(tmp_path, 0, 1).environ


def test_a_secret_that_is_too_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_JWT__SECRET", "short")
    with pytest.raises(CliFailure, match="at least 32 characters"):
        make_plan(tmp_path, 0, 1)
