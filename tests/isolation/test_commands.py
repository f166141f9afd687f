"""Every command of the command line, with a token of another user or tenant and the ids of what is Ann's."""

from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import click
import pytest
import trio

from cli.main import nooble_orch, run
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.ids import new_id
from tests.cli.runs import run_cli
from tests.isolation.estate import PLAN, WORD
from tests.services.workflows.house import House, open_house
from tests.support.credentials import SECRET

LOCAL: Final = {
    "dev",
    "serve",
    "chat",
    "config",
    "doctor",
    "token create",
    "tenants import",
    "callbacks verify",
    "profile add",
    "profile list",
    "profile use",
    "completion install",
    "completion show",
    "man",
    "events",
}
"""Commands that ask no service for what is there, begin something of one's own, or list until they are stopped."""
OWN: Final = {
    "sessions list",
    "tasks list",
    "batches list",
    "schedules list",
    "usage",
    "agents list",
    "agents show",
    "tools list",
    "workflow list",
}
"""Commands that list what is the caller's own, or the tenant's."""
LIVE: Final = {"sessions watch", "top"}
"""Commands that hear signals, which only a process of their own does."""
MAKES: Final = {
    "schedules create": ("--cron", "0 0 1 1 *", "--agent", "echo", "-m", "hello"),
    "batches create": ("--agent", "echo"),
    "tools run": (),
}
"""Commands that make something of the caller's own, and what they are given."""


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, list[str]]]:
    """Every command that can be run, and the names of its arguments."""
    if not isinstance(command, click.Group):
        yield " ".join(path), [str(one.name) for one in command.params if isinstance(one, click.Argument)]
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, *path, name)


async def anns(house: House) -> dict[str, str]:
    """A session with a turn, a batch and a schedule of Ann's, by the names of arguments."""
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    said = await house.call("POST", "chat.message", {"session_id": session_id, "content": WORD, "mode": "wait"})
    flow = await house.call("POST", "workflow.execute", {"plan": PLAN, "mode": "wait"})
    batch = {"agent_id": "echo", "items": [{"content": WORD}]}
    schedule = {"cron": "0 0 1 1 *", "agent_id": "echo", "content": WORD}
    return {
        "session_id": session_id,
        "task_id": flow.data["task_id"],
        "task_ids": flow.data["task_id"],
        "batch_id": (await house.call("POST", "batch.create", batch)).data["batch_id"],
        "request_id": said.headers["X-Correlation-ID"],
        "schedule_id": (await house.call("POST", "schedule.create", schedule)).data["schedule_id"],
        "tenant_id": "acme",
        "names": "acme",
        "name": "query",
        "key_id": new_id(),
        "agent_id": "echo",
        "tool_id": "calculator",
        "parameters": "expression=1 + 1",
        "workflow_id": "approval",
        "inputs": "a=1",
        "method": "get",
        "route": f"session.get/{session_id}",
    }


async def seen(house: House, ids: dict[str, str]) -> list[Any]:
    """How Ann finds her things."""
    routes = [
        f"session.get/{ids['session_id']}",
        f"chat.history/{ids['session_id']}",
        f"task.get/{ids['task_id']}",
        f"schedule.get/{ids['schedule_id']}",
    ]
    return [(await house.call("GET", route)).data for route in routes]


async def run_here(arguments: list[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run a command in this process, which has loaded all of it; returns its exit code and all that it printed."""
    printed = StringIO()

    def work() -> int:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
            for name, value in environ.items():
                patch.setenv(name, value)
            return run(arguments)

    with trio.fail_after(30):
        return await trio.to_thread.run_sync(work), printed.getvalue()


async def test_no_command_tells_or_changes_what_is_anothers(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, auth_failures=100_000) as house:
        ids = await anns(house)
        (tmp_path / "questions.txt").write_text("hello\n", encoding="utf-8")
        ids["file"] = str(tmp_path / "questions.txt")
        marks = [WORD, *(ids[name] for name in ("session_id", "task_id", "batch_id", "request_id", "schedule_id"))]
        before = await seen(house, ids)

        async def tell_nothing(name: str, given: list[str], tenant: str, user: str) -> None:
            token, sent = create_token(SECRET, tenant, user), " ".join(given)
            environ = {"HOME": str(tmp_path), "ORCH_API_URL": house.url, "ORCH_TOKEN": token}
            if name in LIVE:
                ended = await run_cli(tmp_path, *name.split(), *given, **environ)
                code, printed = ended.code, ended.out + ended.err
            else:
                code, printed = await run_here([*name.split(), *given], environ)
            assert [mark for mark in marks if mark in printed and mark not in sent] == [], (name, user, printed)
            assert (code == 0) == (name in OWN or name in MAKES), (name, user, code, printed)

        for name, arguments in commands(nooble_orch):
            if name not in LOCAL:
                given = [ids[argument] for argument in arguments] + list(MAKES.get(name, ()))
                await tell_nothing(name, given, "globex", "eve")
                if name in OWN:
                    await tell_nothing(name, given, "acme", "bob")
        assert await seen(house, ids) == before
