"""Commands that ask before they destroy something can be asked what they would do: nothing is changed then."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from click.testing import CliRunner, Result

from cli.commands.tenancy.transfer_file import header_of
from cli.main import nooble_orch
from tests.cli.commands.test_commands import commands_of
from tests.cli.commands.test_operators import LETTER, TENANT, Operators, open_operators
from tests.docs.filters import options_of

ANSWERS: Final[dict[str, Any]] = {
    "session.get": {"user_id": "ann", "agent_id": "echo", "state": "ACTIVE", "message_count": 3},
    "batch.get": {
        "status": "running", "total": 6, "pending": 2, "running": 2, "completed": 2, "failed": 0, "cancelled": 0,
    },
    "schedule.get": {"cron": "0 8 * * *", "agent_id": "echo"},
    "tenant.get": TENANT,
    "dlq.list": {"items": [LETTER]},
    "task.list": {"items": []},
    "tenant.import": {"imported": 0, "skipped": 0, "sessions": 0},
}  # fmt: skip
LINES: Final[dict[str, str]] = {
    "sessions close s": "Close session s for good?",
    "batches cancel b": "Cancel batch b (",
    "schedules delete s": "Delete schedule s (0 8 * * * to echo)?",
    "tenants pause acme": "Pause tenant acme, which is active and has",
    "tenants drain acme": "Drain tenant acme, which is active and has",
    "tenants import acme {home}/queued.jsonl": "Import 1 item of",
    "tokens revoke --user ada --tenant acme": "Revoke all tokens of user ada for tenant acme?",
    "keys revoke k": "Revoke the API key k?",
    "dlq purge acme": str(LETTER["id"]),
    "tasks cancel --status pending": "",
}
READS: Final = frozenset({"session.get", "batch.get", "schedule.get", "tenant.get", "dlq.list", "task.list"})


@pytest.fixture
async def fake() -> AsyncIterator[Operators]:
    async with open_operators() as running:
        running.answers = {route: [data] for route, data in ANSWERS.items()}
        yield running


def test_every_command_that_asks_can_be_tried() -> None:
    words = [" ".join(path) for path in commands_of(nooble_orch)]
    asking = {line for line in words if "--yes" in options_of(line)} - {"dev", "chat", "bench"}
    assert {line for line in asking if "--dry-run" not in options_of(line)} == set()
    tried = {" ".join(line.split()[:2]) for line in LINES} | {"tasks replay", "dlq replay"}
    assert asking == tried


@pytest.mark.parametrize("line", LINES)
async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    fake: Operators, tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queued.jsonl").write_bytes(header_of("acme", [b"{}\n"], "now") + b"{}\n")
    for name in [name for name in os.environ if name.startswith("ORCH_")]:
        monkeypatch.delenv(name)
    arguments = [*line.format(home=tmp_path).split(), "--dry-run"]

    def run() -> Result:
        return CliRunner().invoke(nooble_orch, arguments, env={**fake.target(), "HOME": str(tmp_path)})

    ended = await trio.to_thread.run_sync(run)
    assert ended.exit_code == 0, ended.output
    assert LINES[line] in ended.output
    changed = [(route, body) for route, body in fake.asked if route not in READS and body.get("check_only") is not True]
    assert changed == []
