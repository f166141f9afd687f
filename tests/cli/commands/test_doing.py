"""What the command line does as the API does it: profiles, raw requests, runs, completion, manual pages."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from orchestrator.models.common.principal import Role
from tests.cli.commands.test_operators import Operators, open_operators
from tests.cli.commands.test_tokens import served
from tests.cli.fake_service import PAUSED, refusal
from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.support.credentials import ADMIN_KEY, bearer
from tests.support.served import service


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


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("profiles = 3", "There is no table of profiles in "),
        ("[profiles]\na = 3", "Profile 'a' is no table in "),
        ("[profiles.a]\nurl = 'b'", "Profile 'a' has the unknown field 'url' in "),
        ("[profiles.a]\napi_url = 5", "Profile 'a' has a value of api_url that is no text in "),
    ],
)
async def test_a_damaged_file_of_profiles_is_told_in_one_sentence(written: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "nooble-orch").mkdir()
    (tmp_path / "nooble-orch" / "config.toml").write_text(written, encoding="utf-8")
    ended = await run_cli(tmp_path, "tasks", "list", "--profile", "a", XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.code, ended.err.splitlines()[0].startswith(told)) == (2, True)


async def test_a_profile_with_an_address_that_is_none_is_not_added(tmp_path: Path) -> None:
    ended = await run_cli(tmp_path, "profile", "add", "a", "--api-url", "orchestrator", XDG_CONFIG_HOME=str(tmp_path))
    assert (ended.code, "is no valid URL" in ended.err, (tmp_path / "nooble-orch").exists()) == (2, True, False)


async def test_any_route_is_asked_raw(fake: Operators, tmp_path: Path) -> None:
    fake.answers |= {"task.list": [{"items": []}], "tenant.drain": [{"state": "draining"}]}
    ended = await fake.run(tmp_path, "api", "GET", "task.list?limit=2", "-v")
    assert (ended.code, json.loads(ended.out)["data"]["items"], "> GET " in ended.err) == (0, [], True)
    body = ("-d", '{"mode": "discard"}')
    assert (await fake.run(tmp_path, "api", "POST", "/internal/v1/tenant.drain/acme", *body)).code == 0
    assert fake.bodies("tenant.drain") == [{"mode": "discard"}]
    assert (await fake.run(tmp_path, "api", "GET", "nothing.here")).code == 3
    assert (await fake.run(tmp_path, "api", "POST", "task.list", "-d", "{")).code == 2


async def test_open_routes_need_no_credentials_and_show_all_with_a_key(redis_url: str, tmp_path: Path) -> None:
    async with service(redis_url) as client, served(client) as url:  # type: ignore[arg-type] # has an app, as a house
        await client.session(bearer(tenant="globex"))
        token = bearer(role=Role.MONITOR)["Authorization"].removeprefix("Bearer ")
        key, own = {"ORCH_API_KEY": ADMIN_KEY}, {"ORCH_TOKEN": token}
        figures = {}
        for name, given in (("both", key | own), ("key", key), ("token", own), ("nothing", {})):
            live = await run_cli(tmp_path, "api", "GET", "/health/live", ORCH_API_URL=url, **given)
            assert (live.code, json.loads(live.out)["status"]) == (0, "ok")
            figures[name] = await run_cli(tmp_path, "api", "GET", "/metrics", ORCH_API_URL=url, **given)
    assert {name: ended.code for name, ended in figures.items()} == {"both": 0, "key": 0, "token": 0, "nothing": 1}
    assert {name for name, ended in figures.items() if '"globex"' in ended.out} == {"both", "key"}


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
    assert "\n.PP\n.nf\nExample:\n  nooble\\-orch tasks list" in page
    for _ in range(2):
        assert (await run_cli(tmp_path, "completion", "install", "bash")).code == 0
    assert (tmp_path / ".bashrc").read_text(encoding="utf-8").count("# nooble-orch completion") == 1


STATE = {"status": "processing", "steps_completed": 1, "steps_total": 2, "current_step": "add", "input_request": None}


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
async def test_a_workflow_is_waited_for_and_its_end_is_the_exit_code(
    fake: Operators, tmp_path: Path, status: str, code: int
) -> None:
    fake.answers |= {
        "workflow.execute": [{"task_id": "t"}],
        "workflow.status": [STATE, STATE, STATE | {"status": status, "steps_completed": 2, "current_step": None}],
        "task.get": [{"task_id": "t", "status": status, "result": {"sum": 3}}],
    }
    ended = await fake.run(tmp_path, "workflow", "run", "arithmetic", "a=1", "b=2", "--wait")
    assert (ended.code, json.loads(ended.out)["status"]) == (code, status)
    assert ended.err.splitlines()[:2] == ["processing: 1 of 2 steps, add", f"{status}: 2 of 2 steps"]
    assert fake.bodies("workflow.execute") == [{"workflow_id": "arithmetic", "input": {"a": 1, "b": 2}}]


async def test_what_keeps_a_workflow_is_told_and_a_restart_of_the_service_is_waited_out(
    fake: Operators, tmp_path: Path
) -> None:
    done = STATE | {"status": "completed", "steps_completed": 2, "current_step": None}
    away = refusal(503, "The store is away; try again in a moment.", code="ORCH_SYS_002")
    fake.answers |= {
        "workflow.execute": [{"task_id": "t"}],
        "workflow.status": [STATE, STATE, STATE, STATE, away, away, done],
        "task.why": [PAUSED],
        "task.get": [{"task_id": "t", "status": "completed"}],
    }
    ended = await fake.run(tmp_path, "workflow", "run", "arithmetic", "a=1", "--wait")
    assert (ended.code, ended.err.splitlines()) == (
        0,
        [
            "processing: 1 of 2 steps, add",
            f"The workflow waits. {PAUSED['says']}",
            "The workflow waits. The store is away.",
            "completed: 2 of 2 steps",
        ],
    )


async def test_batches_and_tools_that_answer_later_are_waited_for(fake: Operators, tmp_path: Path) -> None:
    counts = {"total": 1, "completed": 1, "failed": 0, "cancelled": 0, "running": 0}
    fake.answers |= {
        "batch.create": [{"batch_id": "b"}],
        "batch.get": [counts | {"status": "running"}, counts | {"status": "completed"}],
        "batch.results": [{"items": []}],
        "tool.execute": [{"task_id": "t", "status": "pending"}],
        "task.get": [{"task_id": "t", "status": "pending"}, {"task_id": "t", "status": "completed"}],
    }
    (tmp_path / "items").write_text("one?", encoding="utf-8")
    batch = await fake.run(tmp_path, "batches", "create", "items", "--agent", "echo", "--wait")
    assert (batch.code, json.loads(batch.out)["status"]) == (0, "completed")
    tool = await fake.run(tmp_path, "tools", "run", "slow_report", "--wait")
    assert (tool.code, json.loads(tool.out)["status"]) == (0, "completed")
    fake.answers["task.get"] = [{"task_id": "t", "status": "pending"}]
    late = await fake.run(tmp_path, "tools", "run", "slow_report", "--wait", "--timeout", "100ms")
    assert (late.code, json.loads(late.out)["status"]) == (5, "pending")


async def test_a_workflow_that_asks_says_so_and_one_that_does_not_end_in_time_goes_on(
    fake: Operators, tmp_path: Path
) -> None:
    fake.answers |= {
        "workflow.execute": [{"task_id": "t"}],
        "workflow.status": [STATE | {"status": "waiting", "input_request": {"node_id": "n", "prompt": "Shall we?"}}],
        "task.get": [{"task_id": "t", "status": "waiting"}],
    }
    ended = await fake.run(tmp_path, "workflow", "run", "approval", "--wait", "--timeout", "0.7")
    assert (ended.code, json.loads(ended.out)["status"]) == (5, "waiting")
    assert ended.err.splitlines() == [
        "waiting: 1 of 2 steps, add",
        "It asks: Shall we?",
        """To answer: nooble-orch api POST workflow.input/t -d '{"node_id": "n", "input": …}'""",
        "The workflow has not ended after 0.7 s; it goes on.",
    ]


NOTICE = {"at": "2026-01-01T00:00:00.000Z", "name": "node.joined", "node": "n1", "about": {"pid": 1}}


async def test_notices_are_followed_and_each_is_shown_once(fake: Operators, tmp_path: Path) -> None:
    later = NOTICE | {"name": "node.left"}
    fake.answers["orchestrator.load"] = [{"notices": [NOTICE]}, {"notices": [NOTICE]}, {"notices": [later, NOTICE]}]
    following = await start_cli(tmp_path, "notices", "--follow", **fake.target())
    seen = b""
    with trio.fail_after(25):
        assert following.stdout is not None
        while seen.count(b"\n") < 2:
            seen += await following.stdout.receive_some()
        following.send_signal(signal.SIGINT)
        assert await following.wait() == 130
    await close_pipes(following)
    assert [json.loads(line)["name"] for line in seen.splitlines()] == ["node.joined", "node.left"]
