"""What the command line does as the API does it: profiles, raw requests, runs, completion, manual pages."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.commands.test_operators import Operators, open_operators
from tests.cli.runs import run_cli


@pytest.fixture
async def fake() -> AsyncIterator[Operators]:
    async with open_operators() as running:
        yield running


async def test_a_profile_is_added_chosen_and_used(fake: Operators, tmp_path: Path) -> None:
    fake.answers["tenant.list"] = [{"items": []}]
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    for name, key in (("a", "wrong"), ("b", "k1"), ("a", "k2")):
        given = ("--api-url", fake.url, "--tenant", "acme", "--api-key", key)
        assert (await run_cli(tmp_path, "profile", "add", name, *given, **config)).code == 0
    assert (await run_cli(tmp_path, "profile", "use", "a", **config)).code == 0
    assert (await run_cli(tmp_path, "profile", "use", "c", **config)).code == 3
    listed = await run_cli(tmp_path, "profile", "list", **config)
    shown = {row["name"]: (row["current"], row["credentials"]) for row in map(json.loads, listed.out.splitlines())}
    assert shown == {"a": (True, "api_key"), "b": (False, "api_key")}
    assert "k2" not in listed.out
    assert (await run_cli(tmp_path, "tenants", "list", **config)).code == 0
    file = tmp_path / "nooble-orch" / "config.toml"
    assert (file.stat().st_mode & 0o777, file.read_text().count("[profiles.a]")) == (0o600, 1)


async def test_any_route_is_asked_raw(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {"task.list": [{"items": []}], "tenant.drain": [{"state": "draining"}]}
    ended = await fake.run(tmp_path, "api", "GET", "task.list?limit=2", "-v")
    assert (ended.code, json.loads(ended.out)["data"]["items"], "> GET " in ended.err) == (0, [], True)
    body = ("-d", '{"mode": "discard"}')
    assert (await fake.run(tmp_path, "api", "POST", "/internal/v1/tenant.drain/acme", *body)).code == 0
    assert fake.bodies("tenant.drain") == [{"mode": "discard"}]
    assert (await fake.run(tmp_path, "api", "GET", "nothing.here")).code == 3
    assert (await fake.run(tmp_path, "api", "POST", "task.list", "-d", "{")).code == 2


async def test_tools_workflows_and_batches_are_started(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {
        "tool.execute": [{"status": "completed", "result": 2}],
        "workflow.execute": [{"task_id": "t"}],
        "batch.create": [{"batch_id": "b"}],
    }
    (tmp_path / "items").write_text('one?\n\n{"content": "two?"}\n', encoding="utf-8")
    assert (await fake.run(tmp_path, "tools", "run", "calculator", "expression=1+1", "digits=2")).code == 0
    assert (await fake.run(tmp_path, "workflow", "run", "arithmetic", "a=1")).code == 0
    assert (await fake.run(tmp_path, "batches", "create", "items", "--agent", "echo")).code == 0
    [tool], [flow], [batch] = (fake.bodies(name) for name in ("tool.execute", "workflow.execute", "batch.create"))
    assert tool == {"tool_id": "calculator", "parameters": {"expression": "1+1", "digits": 2}}
    assert flow == {"workflow_id": "arithmetic", "input": {"a": 1}}
    assert batch["items"] == [{"content": "one?"}, {"content": "two?"}]


async def test_a_word_that_is_no_command_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "batchs")
    assert (ended.code, "Did you mean 'batches'?" in ended.err) == (2, True)


async def test_manual_pages_and_completion_are_written(tmp_path: Path) -> None:
    assert (await run_cli(tmp_path, "man", "pages")).code == 0
    page = (tmp_path / "pages" / "nooble-orch-tasks-list.1").read_text(encoding="utf-8")
    assert page.startswith('.TH "NOOBLE-ORCH-TASKS-LIST" "1"')
    for _ in range(2):
        assert (await run_cli(tmp_path, "completion", "install", "bash")).code == 0
    assert (tmp_path / ".bashrc").read_text(encoding="utf-8").count("# nooble-orch completion") == 1
