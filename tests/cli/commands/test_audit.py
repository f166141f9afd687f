"""The audit trail on the command line: read, narrowed, exported, followed."""

import json
from pathlib import Path

import pytest
import trio

from orchestrator.models.common.principal import Role
from tests.cli.commands.test_tokens import served
from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.support.credentials import ADMIN_KEY, bearer
from tests.support.forked import ForkedProcess
from tests.support.served import service


async def test_operators_read_narrow_and_export_it(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        first = await client.session()
        await client.session(bearer(tenant="globex"))
        await client.call("DELETE", f"/api/v1/session.close/{first}")
        key = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        for options, actions in (
            (("--tenant", "acme"), ["session.close", "session.create"]),
            (("--action", "session.create"), ["session.create"] * 2),
            (("--action", "session.", "--limit", "1", "--since", "1h"), ["session.close"]),
            (("--until", "1d"), []),
            (("--outcome", "refused"), []),
            (("--actor", "ann", "--tenant", "globex"), ["session.create"]),
        ):
            ended = await run_cli(tmp_path, "audit", *options, **key)
            shown = [json.loads(line)["action"] for line in ended.out.splitlines()]
            assert (ended.code, shown) == (0, actions), options
        token = bearer(user="olga", role=Role.OPERATOR)["Authorization"].removeprefix("Bearer ")
        own = await run_cli(tmp_path, "audit", ORCH_API_URL=url, ORCH_TOKEN=token)
        assert {json.loads(line)["tenant_id"] for line in own.out.splitlines()} == {"acme"}
        ended = await run_cli(tmp_path, "audit", "--export", "trail.jsonl", "--action", "session.", **key)
        assert (ended.code, ended.err) == (0, "3 entries written to trail.jsonl.\n")
        lines = (tmp_path / "trail.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["action"] for line in lines] == ["session.create", "session.create", "session.close"]


async def test_a_malformed_moment_is_refused(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "audit", "--since", "soon", ORCH_API_URL="http://127.0.0.1:1", ORCH_API_KEY="k")
    assert ended.code == 2
    assert "'soon' is no moment such as 1h (ago)" in ended.err


@pytest.mark.parametrize("command", ["audit", "tasks list", "dlq purge acme", "usage"])
async def test_a_period_that_ends_before_it_begins_is_refused(command: str, tmp_path: Path) -> None:
    period = ("--since", "2026-02-01", "--until", "2026-01-01")
    ended = await run_cli(tmp_path, *command.split(), *period, ORCH_API_URL="http://127.0.0.1:1", ORCH_API_KEY="k")
    assert ended.code == 2
    assert "the period ends (2026-01-01T00:00:00.000Z) before it begins (2026-02-01T00:00:00.000Z)" in ended.err


async def test_what_comes_is_followed(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        session_id = await client.session()
        environ = {"ORCH_API_URL": url, "ORCH_API_KEY": ADMIN_KEY}
        process = await start_cli(tmp_path, "audit", "--follow", "--since", "1h", "--action", "session.", **environ)
        try:
            assert await line(process) == "session.create"
            await client.call("DELETE", f"/api/v1/session.close/{session_id}")
            assert await line(process) == "session.close"
        finally:
            process.kill()
            await process.wait()
            await close_pipes(process)


async def line(process: ForkedProcess) -> str:
    """Return the action of the next entry that is shown."""
    read = b""
    with trio.fail_after(20):
        while not read.endswith(b"\n"):
            assert process.stdout is not None
            read += await process.stdout.receive_some(1)
    return str(json.loads(read)["action"])
