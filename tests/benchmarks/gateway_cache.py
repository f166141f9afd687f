"""What the gateway's cache saves: equal embedding requests at once, and how long a hit takes.

    python -m tests.benchmarks.gateway_cache [--requests 1000] [--hits 2000]

In one process, over a real Redis and the sandbox's Embedding service over HTTP. Each round: so many equal requests at
once, of which the service must see one call; then hits one after the other, beside a bare GET of a value of the same
size over the same connection, and beside the very same request with `cache: false`. Through HTTP: the same hit asked of
`embedding.create` of a process of its own, beside its bare `/health/live`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import trio

from orchestrator.models.common.ids import new_id
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.services.gateway.rig import CTX, Rig, gateway_at

KEY = "benchmark-key"


async def timed(count: int, work: Callable[[], Awaitable[object]]) -> float:
    """Do something one time after the other; returns the median in ms."""
    spent = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        spent.append((time.perf_counter() - began) * 1000)
    return median(spent)


async def at_once(up: Rig, sandbox: Sandbox, count: int) -> tuple[int, float]:
    """Send equal requests at once; returns how many calls the service saw, and the seconds until all were answered."""
    before, body = sandbox.calls["embedding", "create"], {"texts": [new_id()]}
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(up.gateway.embed, CTX, body)
    return sandbox.calls["embedding", "create"] - before, time.perf_counter() - began


@asynccontextmanager
async def process(redis_url: str, sandbox: Sandbox) -> AsyncIterator[str]:
    """Run a process of the service; yields its URL."""
    environ = {
        **os.environ,
        "ORCH_REDIS_URL": redis_url,
        "ORCH_JWT__SECRET": "benchmark-secret-benchmark-secret",
        "ORCH_API_KEYS": f"bench:internal:{sha256(KEY.encode()).hexdigest()}",
        "ORCH_LOG_LEVEL": "warning",
        **{f"ORCH_SERVICES__{name.upper()}__URL": url for name, url in sandbox.urls.items()},
    }
    command = [sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"]
    running = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, env=environ)
    assert running.stdout is not None
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += await running.stdout.receive_some()
        yield line.split()[1].decode()
    finally:
        running.send_signal(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await running.wait()


@asynccontextmanager
async def opened(requests: int = 1000, hits: int = 2000) -> AsyncIterator[Round]:
    """Start everything, and have one vector kept."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder)) as store, run_sandbox() as sandbox:
            url = sandbox.urls["embedding"]
            async with (
                gateway_at(store.url, url, timeout=30) as up,
                process(store.url, sandbox) as service,
                httpx.AsyncClient(trust_env=False, headers={"X-API-Key": KEY, "X-Tenant-ID": "acme"}) as client,
            ):
                body = {"texts": ["How do I drain a tenant?"]}
                await up.gateway.embed(CTX, body)
                await up.redis.set("bare", await up.redis.get(await _only_vector(up)))

                async def one_round() -> Figures:
                    calls, seconds = await at_once(up, sandbox, requests)
                    anew = partial(up.gateway.embed, CTX, {**body, "cache": False})
                    ask = partial(client.post, f"{service}/internal/v1/embedding.create", json=body)
                    live = partial(client.get, f"{service}/health/live")
                    return {
                        "calls of the service": calls,
                        "all at once, s": seconds,
                        "bare GET, ms": await timed(hits, partial(up.redis.get, "bare")),
                        "hit, ms": await timed(hits, partial(up.gateway.embed, CTX, body)),
                        "asked anew, ms": await timed(max(1, hits // 10), anew),
                        "/health/live over HTTP, ms": await timed(max(1, hits // 4), live),
                        "hit over HTTP, ms": await timed(max(1, hits // 4), ask),
                    }

                yield one_round


async def _only_vector(up: Rig) -> bytes:
    names = [name async for name in up.redis.scan_iter("orchestrator:cache:acme:embed:*")]
    (vector,) = [name for name in names if len(name.split(b":")) == 5 and not name.endswith(b":size")]
    return bytes(vector)


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("calls of the service for equal requests at once", "itself", "calls of the service", None, at_most(1)),
        Row("a hit of the gateway's cache", "a bare GET of as much", "hit, ms", "bare GET, ms"),
        Row("a hit of the cache over HTTP", "/health/live", "hit over HTTP, ms", "/health/live over HTTP, ms"),
    ),
    smallest={"requests": 5, "hits": 4},
)

if __name__ == "__main__":
    run(BENCHMARK)
