"""How fast chat messages are accepted, beside a bare JSON route of the same framework on the same server.

    python -m tests.benchmarks.accepting [--rounds 3] [--seconds 4] [--connections 32] [--json FILE]

Ours authenticates, validates, and in one script checks the session, its owner, rate limits, idempotency and queue
bounds, and writes record, queue entry and events. The bare route parses JSON and answers 202. Both run in a process of
their own, under the same Hypercorn settings; the tenant is paused, so that only acceptance is measured.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import httpx
import redis
import trio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis

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


@contextmanager
def server(command: list[str], environ: dict[str, str]) -> Iterator[str]:
    """Run a server; yields its URL."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.send_signal(signal.SIGKILL)


async def load(url: str, requests: list[bytes], connections: int, seconds: float) -> float:
    """Send requests in turn on keep-alive connections, each when the one before is answered; returns them a second."""
    host, port = url.removeprefix("http://").split(":")
    count = 0
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal count
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            while time.perf_counter() < end:
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


async def compare(rounds: int, seconds: float, connections: int) -> dict[str, list[float]]:
    """Run both in turn."""
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
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
                server([sys.executable, "-c", BARE], environ) as bare,
                server([sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"], environ) as ours,
            ):
                client.hset("orchestrator:tenant:acme:config", "state", "paused")
                ids = sessions(ours, token, 200)
                authorization = f"Authorization: Bearer {token}\r\n"
                for _ in range(rounds):
                    body = {"session_id": ids[0], "content": "hello there"}
                    plain = [post("/bare", body, authorization)]
                    rates["bare"].append(await load(bare, plain, connections, seconds))
                    requests = [
                        post("/api/v1/chat.message", {"session_id": one, "content": "hello there"}, authorization)
                        for one in ids
                    ]
                    rates["ours"].append(await load(ours, requests, connections, seconds))
    return rates


@click.command()
@click.option("--rounds", default=3)
@click.option("--seconds", default=4.0)
@click.option("--connections", default=32)
@click.option("--json", "file", type=click.Path(path_type=Path))
def main(rounds: int, seconds: float, connections: int, file: Path | None) -> None:
    """Compare, and print the ratio."""
    rates = trio.run(partial(compare, rounds, seconds, connections))
    ratios = [ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)]
    for name, values in rates.items():
        click.echo(f"{name:6} {median(values):8.0f}/s   {', '.join(f'{value:.0f}' for value in values)}")
    click.echo(f"ratio  {median(ratios):8.2f}     {', '.join(f'{value:.2f}' for value in ratios)}")
    if file:
        file.write_text(json.dumps({"rates": rates, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
