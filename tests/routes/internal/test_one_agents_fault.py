"""One agent's fault, from the queue on: how often it is run, and what other tenants' turns have of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from orchestrator.config.defaults import DEFAULTS
from orchestrator.sandbox.platform import run_sandbox
from tests.services.platform import Leg, says
from tests.support.credentials import bearer
from tests.support.scripted_server import Asked, reply, response, serve, token
from tests.support.served import CHAT, CREATE, Client, service

TURNS = 8


async def failing(_: Asked, stream: trio.SocketStream) -> None:
    await reply(stream, {"error": {"code": "AGEX_5"}}, 500)


async def turn(client: Client, headers: dict[str, str], timeout_ms: int = 9000) -> Any:
    """Say something in a session of its own, and return the answer or the error."""
    created = await client.call("POST", CREATE, {"agent_id": "echo"}, headers)
    body = {"session_id": created.data["session_id"], "content": "hi", "mode": "wait", "timeout_ms": timeout_ms}
    return await client.call("POST", CHAT, body, headers)


@pytest.mark.parametrize(
    ("leg", "most"),
    [
        (says(token("la", "song")), TURNS),
        (says(token("Good"), b"<html>\n"), TURNS),
        (says({"type": "agent.error", "error": {"code": "AGEX_9"}}), TURNS),
        # It may pass, so each turn starts over once.
        (says({"type": "agent.error", "error": {"code": "AGEX_9", "retryable": True}}), 2 * TURNS),
        # An outage, for all that is known: retried within the agent's budget, until the agent is left alone.
        (failing, 2 * TURNS * 1.2 + 6),
    ],
    ids=["unknown token", "garbage", "error", "passing error", "500"],
)
async def test_the_turns_of_one_tenants_agent_fail_alone(redis_url: str, tmp_path: Path, leg: Leg, most: float) -> None:
    executions = Counter[str]()
    well = says(token("Hello"), response("Hello"))

    async def agents(asked: Asked, stream: trio.SocketStream) -> None:
        tenant_id = asked.headers["x-tenant-id"]
        if asked.path.endswith("/execute"):
            executions[tenant_id] += 1
            await (leg if tenant_id == "acme" else well)(asked, stream)
        else:
            await reply(stream, {"payload": {}})

    (tmp_path / "page.md").write_text("# Page\n\nThere is one page.\n")
    async with run_sandbox(docs=tmp_path) as sandbox, serve(agents) as url:
        services = {name: evolve(own, url=sandbox.urls[name]) for name, own in DEFAULTS.services.items()}
        services["agent_execution"] = evolve(services["agent_execution"], url=url)
        async with service(redis_url, consuming=True, services=services, task_retry_delay=0.05) as client:
            acme, globex = bearer(), bearer("globex")
            for number in range(1, TURNS + 1):
                # 202: it waits in the queue until the agent is no longer left alone; 503: that is too long to wait for.
                assert (await turn(client, acme, 1000)).status in {202, 502, 503}
                answered = await turn(client, globex)
                assert answered.status == 200, answered.raw
                assert executions["globex"] == number
    assert 0 < executions["acme"] <= most
