"""How fast chat messages are accepted, beside a bare JSON route of the same framework on the same server.

    python -m tests.benchmarks.accepting [--seconds 4] [--connections 32]

Ours authenticates, validates, and in one script checks the session, its owner, rate limits, idempotency and queue
bounds, and writes record, queue entry and events. The bare route parses JSON and answers 202. Both run in a process of
their own, under the same Hypercorn settings; the tenant is paused, so that only acceptance is measured.
"""

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import redis
import trio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, run
from tests.benchmarks.processes import serving

SECRET = "benchmark-secret-benchmark-secret"
BARE = """
import sys, trio, hypercorn.trio
from hypercorn.config import Config
from quart import request
from quart_trio import QuartTrio
app = QuartTrio("bare")
@app.post("/bare")
async def accept():
    body = await request.get_json()
    return {"accepted": body["session_id"]}, 202
config = Config()
config.bind = ["127.0.0.1:0"]
config.accesslog = None
config.keep_alive_timeout = 75
async def main():
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(hypercorn.trio.serve, app, config)
        print("ready", binds[0], flush=True)
trio.run(main)
"""


async def load(
    url: str, requests: list[bytes], connections: int, seconds: float = math.inf, *, total: float = math.inf
) -> float:
    """Send requests in turn on keep-alive connections, each when the one before is answered; returns them a second.

    Args:
        url: of the server.
        requests: whole ones.
        connections: how many.
        seconds: for how long.
        total: how many requests, at most.
    """
    host, port = url.removeprefix("http://").split(":")
    sent = count = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal sent, count
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            while sent < total and time.perf_counter() < end:
                sent += 1
                await stream.send_all(requests[(number + connections * count) % len(requests)])
                answer = b""
                while True:
                    answer += await stream.receive_some(65536)
                    head, found, body = answer.partition(b"\r\n\r\n")
                    if found and len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
                        break
                if not head.startswith(b"HTTP/1.1 202"):
                    raise RuntimeError(answer.decode())
                count += 1

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(connections):
            nursery.start_soon(client, number)
    return count / (time.perf_counter() - began)


def post(path: str, body: dict[str, Any], headers: str = "") -> bytes:
    """Write a request."""
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
    )
    return head.encode() + b"\r\n" + raw


def sessions(url: str, token: str, count: int) -> list[str]:
    """Create sessions."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        return [
            client.post("/api/v1/session.create", json={"agent_id": "echo"}).json()["data"]["session_id"]
            for _ in range(count)
        ]


@asynccontextmanager
async def opened(seconds: float = 4.0, connections: int = 32) -> AsyncIterator[Round]:
    """Start both servers, and pause the tenant."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder)) as store:
            environ = {
                **os.environ,
                "ORCH_REDIS_URL": store.url,
                "ORCH_JWT__SECRET": SECRET,
                "ORCH_LOG_LEVEL": "warning",
                "ORCH_RATE_TENANT": "1000000",
                "ORCH_RATE_USER": "1000000",
                "ORCH_RATE_ADDRESS": "1000000",
                "ORCH_QUEUE_LENGTH": "10000000",
                "ORCH_SESSION_QUEUE_LENGTH": "10000",
            }
            token = create_token(SECRET, "acme", "ann", Role.USER)
            with (
                redis.Redis.from_url(store.url) as client,
                serving([sys.executable, "-c", BARE], environ) as (bare, _),
                serving([sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"], environ) as (ours, _),
            ):
                client.hset("orchestrator:tenant:acme:config", "state", "paused")
                ids = sessions(ours, token, 200)
                headers = f"Authorization: Bearer {token}\r\n"

                async def one_round() -> Figures:
                    bodies = [{"session_id": one, "content": "hello there"} for one in ids]
                    plain = [post("/bare", bodies[0], headers)]
                    messages = [post("/api/v1/chat.message", body, headers) for body in bodies]
                    return {
                        "bare, POST/s": await load(bare, plain, connections, seconds),
                        "ours, POST/s": await load(ours, messages, connections, seconds),
                    }

                yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "chat messages accepted a second",
            "a bare JSON route, same framework and server settings",
            "ours, POST/s",
            "bare, POST/s",
            at_least(0.7),
        ),
    ),
    smallest={"seconds": 0.2, "connections": 2},
)

if __name__ == "__main__":
    run(BENCHMARK)
