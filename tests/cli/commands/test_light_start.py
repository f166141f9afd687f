"""A command that asks once loads nothing that it does without: what it imports is most of the time that it takes."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from cli.commands.access.keys import SCOPES
from cli.commands.tenancy.transfer_file import header_of
from orchestrator.models.operations.api_keys import Scope
from tests.cli.commands.test_operators import LETTER, TENANT, Operators, open_operators
from tests.cli.runs import environment

HEAVY = {
    "httpx", "httpcore", "trio", "asyncio", "cattrs", "msgspec", "structlog", "rich.console", "rich.table", "redis",
    "quart", "ssl", "email",
}  # fmt: skip
"""Each takes longer than a request."""
SERVICE = {"orchestrator", "orchestrator.config", "orchestrator.config.masking"}
"""All of the service's own modules that a listing loads."""
RUN = """
import json, sys
from cli.main import run
ended = {}
for line in sys.argv[1:]:
    before = set(sys.modules)
    code = run(line.split())
    ended[line] = {"code": code, "modules": sorted(set(sys.modules) - before)}
print(json.dumps(ended), file=sys.stderr)
"""
"""Runs commands one after the other: what each has loaded beyond those before it."""
TASK = {
    "task_id": "t", "type": "chat.message", "status": "failed", "correlation_id": "c",
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
STEP = {"after_ms": 0, "step": "accepted", "task_id": "t", "attempt": 0, "detail": "", "node": ""}
TRACE = {"correlation_id": "c", "started_at": "2026-01-01T00:00:00Z", "duration_ms": 1, "steps": [STEP]}
NOTHING: dict[str, Any] = {"items": []}
ANSWERS: dict[str, Any] = {
    "task.list": {"items": [TASK]}, "task.get": TASK, "task.why": {"task_id": "t"}, "task.trace": TRACE,
    "queue.list": {"items": [TENANT]}, "queue.get": TENANT, "tenant.list": {"items": [TENANT]},
    "tenant.get": TENANT | {"state": "drained"},
    "tenant.drain": TENANT | {"state": "drained"}, "tenant.export": NOTHING,
    "tenant.import": {"imported": 0, "skipped": 0, "sessions": 0}, "audit.list": NOTHING,
    "schedule.trigger": {"task_id": "t"},
    "usage.get": {"items": [], "totals": {}}, "orchestrator.nodes": NOTHING, "session.list": NOTHING,
    "batch.list": NOTHING, "dlq.list": {"items": [LETTER]}, "key.list": NOTHING, "schedule.list": NOTHING,
    "agent.list": NOTHING, "tool.list": NOTHING, "workflow.list": NOTHING, "callback.list": NOTHING,
    "orchestrator.load": {"notices": []},
}  # fmt: skip
LISTINGS = (
    "tasks list", "tasks list --since 1h --error-code ORCH_CONN_001", "tasks show t", "tasks why t", "trace t",
    "tasks replay --since 1h --dry-run", "queues", "queues show acme", "events --once", "tenants list",
    "tenants show acme", "tenants drain acme --yes", "tenants drain acme --discard --export work.jsonl --yes",
    "tenants import acme queued.jsonl --yes", "audit", "usage", "schedules trigger s", "schedules list", "nodes",
    "sessions list", "batches list", "dlq list acme", "keys list", "agents list", "tools list", "workflow list",
    "callbacks list t", "notices", "api GET task.list", "chat --help",
)  # fmt: skip


@pytest.fixture
async def fake() -> AsyncIterator[Operators]:
    async with open_operators() as running:
        running.answers = {route: [data] for route, data in ANSWERS.items()}
        yield running


@pytest.mark.parametrize("form", ["table", "json"])
async def test_a_command_that_asks_once_loads_no_more_than_it_needs(fake: Operators, tmp_path: Path, form: str) -> None:
    (tmp_path / "queued.jsonl").write_bytes(header_of("acme", [b"{}\n"], "now") + b"{}\n")
    lines = [
        f"{line} --tenant acme" + ("" if line.startswith(("api ", "chat ")) else f" -o {form}") for line in LISTINGS
    ]
    loaded = await loaded_by(lines, tmp_path, **fake.target())
    assert {line: new & HEAVY for line, new in loaded.items() if new & HEAVY} == {}
    own = {line: {name for name in new if f"{name}.".startswith("orchestrator.")} for line, new in loaded.items()}
    assert {line: new - SERVICE for line, new in own.items() if new - SERVICE} == {}


async def test_a_token_is_made_and_settings_are_shown_without_the_clients_of_the_services(tmp_path: Path) -> None:
    lines = ["token create --user ann", "config"]
    loaded = await loaded_by(lines, tmp_path, ORCH_TENANT="acme", ORCH_JWT__SECRET="s" * 32)
    assert not [name for new in loaded.values() for name in new if name.startswith("orchestrator.clients")]


async def loaded_by(lines: list[str], home: Path, **environ: str) -> dict[str, set[str]]:
    """Run commands in one process; returns what each of them has loaded."""
    with trio.fail_after(60):
        done = await trio.run_process(
            [sys.executable, "-c", RUN, *lines],
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            check=False,
            cwd=home,
            env=environment(home, **environ),
        )
    ended = json.loads(done.stderr.splitlines()[-1])
    assert {line: one["code"] for line, one in ended.items() if one["code"]} == {}, done.stderr
    return {line: set(one["modules"]) for line, one in ended.items()}


def test_keys_are_offered_the_scopes_that_there_are() -> None:
    assert list(SCOPES) == [scope.value for scope in Scope]
