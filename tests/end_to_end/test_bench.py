"""`nooble-orch bench` against a process of the service."""

import json
import signal
from pathlib import Path

import trio

from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.cli.terminal import open_terminal
from tests.end_to_end.stack import Stack, open_stack
from tests.support.eventually import eventually


def target(stack: Stack) -> dict[str, str]:
    return {"ORCH_API_URL": stack.node.url, "ORCH_TOKEN": stack.token(), "ORCH_TENANT": "acme"}


async def states(stack: Stack) -> set[str]:
    async with stack.client() as client:
        listed = (await client.get("/api/v1/session.list")).json()["data"]["items"]
    return {session["state"] for session in listed}


async def test_so_many_messages_are_sent_and_measured_and_the_sessions_closed(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        ended = await run_cli(tmp_path, "bench", "--callers", "3", "--messages", "9", "--yes", **target(stack))
        assert ended.code == 0, ended.err
        told = json.loads(ended.out)
        assert (told["api_url"], told["tenant_id"], told["callers"]) == (stack.node.url, "acme", 3)
        for what in ("accepted", "first_token", "turn"):
            assert told[what]["count"] == 9
            assert 0 < told[what]["p50_ms"] <= told[what]["p99_ms"]
        assert told["accepted"]["p50_ms"] <= told["turn"]["p99_ms"]
        assert 1 <= told["live_answers"]["peak"] <= 3
        assert (told["errors"], told["unfinished"], told["sessions_left_open"]) == ({}, 0, 0)
        assert await states(stack) == {"TERMINATED"}
        table = await run_cli(
            tmp_path, "bench", "--duration", "1s", "--callers", "1", "--yes", "-o", "table", **target(stack)
        )
        assert table.code == 0, table.err
        assert [line.split("  ")[0].split(" ")[0] for line in table.out.splitlines()] == [
            "WHAT", "accepted", "first", "turn",
        ]  # fmt: skip
        assert "answers live on average" in table.err


async def test_it_asks_with_tenant_and_url_and_refuses_without_a_terminal(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        refused = await run_cli(tmp_path, "bench", **target(stack))
        assert (refused.code, "Add --yes." in refused.err) == (2, True)
        async with open_terminal(tmp_path, "bench", "--messages", "2", **target(stack)) as terminal:
            await terminal.see("tenant acme at")
            await terminal.enter("n")
            await terminal.see("Nothing was changed.")
            assert await terminal.end() == 1
        assert await states(stack) == set()


async def test_it_ends_in_its_time_where_answers_hang_and_at_ctrl_c_it_closes_its_sessions(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        hanging = {**target(stack), "PYTHONUNBUFFERED": "1"}
        stack.sandbox.faults.add(InjectedFault(InjectedFaultKind.HANG, "agent_execution", count=100))
        with trio.fail_after(25):
            ended = await run_cli(tmp_path, "bench", "--duration", "2s", "--callers", "2", "--yes", **hanging)
        told = json.loads(ended.out)
        assert (ended.code, told["unfinished"], told["turn"]["count"]) == (5, 2, 0)
        running = await start_cli(tmp_path, "bench", "--duration", "60s", "--callers", "2", "--yes", **hanging)
        await eventually("both sessions work", lambda: states(stack), lambda found: "PROCESSING" in found)
        running.send_signal(signal.SIGINT)
        with trio.fail_after(15):
            assert await running.wait() == 130
        await close_pipes(running)
        await eventually("the sessions are closed", lambda: states(stack), lambda found: found == {"TERMINATED"})
