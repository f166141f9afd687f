"""What the orchestrator adds until the first piece of an answer is there, beside asking Agent Execution directly.

    python -m tests.benchmarks.first_chunk [--turns 200] [--pause-ms 20] [--json FILE]

Ours: a message is posted, and its first `chat.stream` arrives on an open WebSocket. Directly: the sandbox's Agent
Execution is asked to stream, and its first `agent.token` arrives. Both in turn, with the same client library, each
server in a process of its own. Ours includes admission, queue, conversation and history; directly there is none of it.
"""

import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
import httpx
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET, server

WARM_UP = 20


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[str, str]]:
    """Run everything; yields the URLs of the service and of the sandbox."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder)) as store:
            with server([sys.executable, "-m", "orchestrator.sandbox"], {"PATH": ""}) as sandbox:
                environ = {
                    "PATH": "",
                    "ORCH_REDIS_URL": store.url,
                    "ORCH_JWT__SECRET": SECRET,
                    "ORCH_LOG_LEVEL": "warning",
                    **{f"ORCH_SERVICES__{name.upper()}__URL": f"{sandbox}/{name}" for name in SERVICES},
                }
                with server([sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"], environ) as service:
                    yield service, sandbox


async def ours(client: httpx.AsyncClient, socket: WebSocketConnection, session_id: str) -> tuple[float, float]:
    """Take a turn; returns ms until the first piece, and until the end."""
    began = time.perf_counter()
    body = {"session_id": session_id, "content": "echo 20 words"}
    answer = await client.post("/api/v1/chat.message", json=body)
    assert answer.status_code == 202, answer.text
    first = 0.0
    while True:
        frame = json.loads(await socket.get_message())
        name = f"{frame['type']['domain']}.{frame['type']['action']}"
        if name == "chat.stream" and not first:
            first = (time.perf_counter() - began) * 1000
        if name == "session.state_update" and frame["data"]["state"] == "ACTIVE" and first:
            return first, (time.perf_counter() - began) * 1000


async def directly(client: httpx.AsyncClient, url: str) -> tuple[float, float]:
    """Ask the agent itself; returns ms until the first token, and until the end."""
    message = {
        "type": {"domain": "agent", "action": "execute"},
        "task_id": f"t{time.perf_counter_ns()}",
        "payload": {"query": "echo 20 words", "agent_config": {}, "context": {}, "stream": True, "tools": []},
    }
    began = time.perf_counter()
    first = 0.0
    target = f"{url}/agent_execution/api/v1/agents/echo/execute"
    async with client.stream("POST", target, json=message, headers={"X-Tenant-ID": "acme"}) as answer:
        async for line in answer.aiter_lines():
            if not first and '"token"' in line:
                first = (time.perf_counter() - began) * 1000
    return first, (time.perf_counter() - began) * 1000


async def compare(turns: int, pause_ms: float) -> dict[str, list[tuple[float, float]]]:
    """Measure both in turn on an idle service."""
    figures: dict[str, list[tuple[float, float]]] = {"directly": [], "ours": []}
    token = create_token(SECRET, "acme", "ann", Role.USER)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        platform() as (service, sandbox),
        httpx.AsyncClient(base_url=service, headers=headers, trust_env=False) as client,
        httpx.AsyncClient(trust_env=False) as direct,
    ):
        created = await client.post("/api/v1/session.create", json={"agent_id": "echo"})
        session: dict[str, Any] = created.json()["data"]
        socket_headers = [(b"Authorization", headers["Authorization"].encode())]
        async with open_websocket_url(session["websocket_url"], extra_headers=socket_headers) as socket:
            for number in range(turns + WARM_UP):
                pair = await directly(direct, sandbox), await ours(client, socket, session["session_id"])
                if number >= WARM_UP:
                    figures["directly"].append(pair[0])
                    figures["ours"].append(pair[1])
                await trio.sleep(pause_ms / 1000)
    return figures


@click.command()
@click.option("--turns", default=200)
@click.option("--pause-ms", default=20.0)
@click.option("--json", "file", type=click.Path(path_type=Path))
def main(turns: int, pause_ms: float, file: Path | None) -> None:
    """Compare, and print what is added."""
    figures = trio.run(partial(compare, turns, pause_ms))
    for name, pairs in figures.items():
        firsts, wholes = [first for first, _ in pairs], [whole for _, whole in pairs]
        click.echo(
            f"{name:9} first chunk p50 {median(firsts):6.2f} ms  p99 {quantiles(firsts, n=100)[98]:6.2f} ms"
            f"   whole turn p50 {median(wholes):6.2f} ms"
        )
    added = [ours[0] - direct[0] for ours, direct in zip(figures["ours"], figures["directly"], strict=True)]
    click.echo(f"added     first chunk p50 {median(added):6.2f} ms")
    if file:
        file.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
