"""What the orchestrator adds until the first piece of an answer is there, beside asking Agent Execution directly.

    python -m tests.benchmarks.first_chunk [--turns 100] [--pause-ms 20]

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
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import serving

WARM_UP = 20


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[str, str]]:
    """Run everything; yields the URLs of the service and of the sandbox."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder)) as store:
            with serving([sys.executable, "-m", "orchestrator.sandbox"], {"PATH": ""}) as (sandbox, _):
                environ = {
                    "PATH": "",
                    "ORCH_REDIS_URL": store.url,
                    "ORCH_JWT__SECRET": SECRET,
                    "ORCH_LOG_LEVEL": "warning",
                    **{f"ORCH_SERVICES__{name.upper()}__URL": f"{sandbox}/{name}" for name in SERVICES},
                }
                with serving([sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"], environ) as (service, _):
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


@asynccontextmanager
async def opened(turns: int = 100, pause_ms: float = 20.0) -> AsyncIterator[Round]:
    """Start everything, and warm it up."""
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

            async def pairs(count: int) -> list[tuple[tuple[float, float], tuple[float, float]]]:
                found = []
                for _ in range(count):
                    theirs = await directly(direct, sandbox)
                    found.append((theirs, await ours(client, socket, session["session_id"])))
                    await trio.sleep(pause_ms / 1000)
                return found

            await pairs(WARM_UP)

            async def one_round() -> Figures:
                found = await pairs(turns)
                return {
                    "directly, first chunk, ms": median(theirs[0] for theirs, _ in found),
                    "ours, first chunk, ms": median(own[0] for _, own in found),
                    "added, first chunk, ms": median(own[0] - theirs[0] for theirs, own in found),
                    "directly, whole, ms": median(theirs[1] for theirs, _ in found),
                    "ours, whole, ms": median(own[1] for _, own in found),
                }

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("what is added until the first chunk of an answer", "Agent Execution asked directly",
            "added, first chunk, ms", None, at_most(15), "ms"),
    ),
    smallest={"turns": 2, "pause_ms": 1.0},
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
