"""What operators look at: timelines, reasons, processes, the live screen, the books. Over a real service."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import trio
from attrs import define
from hypercorn.config import Config

from cli.waterfall import waterfall
from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.main import serve
from orchestrator.middleware.tokens import create_token
from orchestrator.models.principal import Role
from tests.cli.runs import run_cli
from tests.cli.terminal import open_terminal

SECRET = "a-secret-of-at-least-thirty-two-characters"
ADMIN = "admin-key"


@define
class Service:
    """A real service without agents: its turns fail, or wait."""

    url: str
    redis_url: str

    @property
    def environ(self) -> dict[str, str]:
        """What points commands at it."""
        token = create_token(SECRET, "acme", "oz", Role.OPERATOR)
        return {
            "ORCH_API_URL": self.url,
            "ORCH_TOKEN": token,
            "ORCH_TENANT": "acme",
            "ORCH_API_KEY": ADMIN,
            "ORCH_REDIS_URL": self.redis_url,
            "ORCH_JWT__SECRET": SECRET,
        }

    async def paused_task(self) -> dict[str, Any]:
        """Have a message wait in a paused tenant."""
        token = create_token(SECRET, "acme", "ann", Role.USER)
        headers = {"Authorization": f"Bearer {token}", "X-API-Key": ADMIN}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False) as client:
            made = await client.post("/api/v1/session.create", json={"agent_id": "echo"})
            await client.post("/internal/v1/tenant.pause/acme")
            body = {"session_id": made.json()["data"]["session_id"], "content": "hello"}
            answer = (await client.post("/api/v1/chat.message", json=body)).json()
        return {**answer["data"], "correlation_id": answer["correlation_id"]}


@pytest.fixture
async def service(redis_url: str) -> AsyncIterator[Service]:
    key = f"operator:admin:{sha256(ADMIN.encode()).hexdigest()}"
    settings = AgentOrchestratorSettings(
        jwt=JwtSettings(secret=SECRET), redis_url=redis_url, api_keys=(key,), drain_timeout=0.1, node_timeout=1.0
    )
    config = Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await serve(settings, config, watch_signals=False, task_status=task_status)

        [url] = await nursery.start(run)
        yield Service(url, redis_url)
        nursery.cancel_scope.cancel()


async def test_why_says_in_a_sentence_what_keeps_a_task(service: Service, tmp_path: Path) -> None:
    task = await service.paused_task()
    ended = await run_cli(tmp_path, "tasks", "why", task["task_id"], **service.environ)
    told = json.loads(ended.out)
    assert (ended.code, told["reason"]) == (0, "paused")
    assert told["says"] == "Its tenant is paused: nothing starts until it is resumed."
    unknown = await run_cli(tmp_path, "tasks", "why", "nothing", **service.environ)
    assert unknown.code == 3


async def test_a_timeline_is_found_by_request_and_by_task(service: Service, tmp_path: Path) -> None:
    task = await service.paused_task()
    by_request = await run_cli(tmp_path, "trace", task["correlation_id"], **service.environ)
    by_task = await run_cli(tmp_path, "trace", task["task_id"], "-o", "json", **service.environ)
    assert json.loads(by_request.out) == json.loads(by_task.out)
    assert [step["step"] for step in json.loads(by_task.out)["steps"]] == ["accepted"]
    drawn = await run_cli(tmp_path, "trace", task["task_id"], "-o", "table", COLUMNS="80", **service.environ)
    assert drawn.out.splitlines()[1].endswith("accepted chat.message")
    assert (await run_cli(tmp_path, "trace", "nothing", **service.environ)).code == 3


async def test_processes_and_load_come_as_json_in_a_pipe(service: Service, tmp_path: Path) -> None:
    await service.paused_task()
    nodes = await run_cli(tmp_path, "nodes", **service.environ)
    [node] = map(json.loads, nodes.out.splitlines())
    assert (node["live"], node["slots"], node["in_hand"]) == (True, 100, 0)
    top = await run_cli(tmp_path, "top", **service.environ)
    load = json.loads(top.out)
    assert (load["queued"], [one["tenant_id"] for one in load["tenants"]]) == (1, ["acme"])
    table = await run_cli(tmp_path, "nodes", "-o", "table", COLUMNS="80", **service.environ)
    assert max(map(len, table.out.splitlines())) <= 80


async def test_the_live_screen_fits_a_terminal_and_q_leaves_it(service: Service, tmp_path: Path) -> None:
    await service.paused_task()
    async with open_terminal(tmp_path, "top", **service.environ) as terminal:
        await terminal.see("queued 1")
        await terminal.see("acme")
        await terminal.see("q leaves")
        await terminal.type("q")
        assert await terminal.end() == 0
        assert terminal.echoes()


async def test_ctrl_c_leaves_the_live_screen_as_it_was(service: Service, tmp_path: Path) -> None:
    async with open_terminal(tmp_path, "top", **service.environ) as terminal:
        await terminal.see("q leaves")
        await terminal.type("\x03")
        assert await terminal.end() == 130
        assert terminal.echoes()


async def books(service: Service, tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    ended = await run_cli(tmp_path, "doctor", *arguments, **service.environ)
    return [check for check in map(json.loads, ended.out.splitlines()) if check["check"] == "books acme"]


async def test_the_doctor_says_what_it_would_mend_and_mends_it_when_told(service: Service, tmp_path: Path) -> None:
    task = await service.paused_task()
    [balanced] = await books(service, tmp_path)
    assert (balanced["verdict"], balanced["says"]) == ("ok", "1 tasks (1 queued), 1 sessions")
    with redis.Redis.from_url(service.redis_url) as client:
        client.delete("orchestrator:tasks:acme:high")
    [lost] = await books(service, tmp_path)
    says = f"{task['task_id']} is pending, but nowhere to be found; --repair would put it back into its lane"
    assert (lost["verdict"], lost["says"]) == ("failed", says)
    [mended] = await books(service, tmp_path, "--repair")
    assert mended["verdict"] == "mended"
    assert [check["verdict"] for check in await books(service, tmp_path)] == ["ok"]


def test_a_waterfall_fits_its_width_and_shows_nothing_that_steers_a_terminal() -> None:
    step = {"task_id": "t1", "attempt": 2, "node": "n" * 40, "detail": "\x1b[31mred", "step": "taken_over"}
    steps = [{**step, "after_ms": at} for at in (0, 10, 4000)]
    timeline = {"correlation_id": "c1", "started_at": "2026-01-01T00:00:00.000Z", "duration_ms": 4000, "steps": steps}
    lines = waterfall(timeline, 80)
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line for line in lines)
    assert lines[2].split()[:2] == ["10", "ms"]
