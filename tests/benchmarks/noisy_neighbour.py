"""What a turn takes beside another tenant's backlog, and what keeping it short costs in throughput.

    python -m tests.benchmarks.noisy_neighbour [--queued 3000] [--seconds 8]

The quiet tenant sends one message after the other, and reads each answer as a stream to its end: alone at first, then
while another tenant's queue is worked off. That queue is filled while its tenant is paused, and each of its turns is as
dear to the process as one of the quiet tenant. The same with `ORCH_ADAPTIVE_CONCURRENCY=false`, where a hundred turns
share the event loop. Turns a second and CPU are those of the queue by itself, before the quiet tenant comes back: its
turns are dearer, and the faster they are the more of them it takes. Service, stand-ins, Redis and the client are
processes of one machine.
"""

import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx
import redis
import trio
from attrs import frozen

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET, load, post, sessions
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, at_most, run
from tests.benchmarks.processes import cpu_seconds, serving

WARM_UP = 20
NOISY_SESSIONS = 300
WORDS = "one two three four five six seven eight nine ten"
NOISY, QUIET = "noisy", "quiet"
FIRST_CLAIMS_SECONDS = 1.0


@frozen
class Service:
    """A service with all that it needs."""

    url: str
    pid: int
    set_state: Callable[[str], Any]
    """Of the noisy tenant."""

    async def fill(self, queued: int, content: str = WORDS) -> None:
        """Queue turns of the noisy tenant."""
        token = create_token(SECRET, NOISY, "ann", Role.USER)
        ids = await trio.to_thread.run_sync(sessions, self.url, token, min(queued, NOISY_SESSIONS))
        headers = f"Authorization: Bearer {token}\r\n"
        requests = [post("/api/v1/chat.message", {"session_id": one, "content": content}, headers) for one in ids]
        await load(self.url, requests, 16, total=queued)

    async def take_turns(self, seconds: float, least: int) -> list[float]:
        """Have the quiet tenant take turns, one after the other; returns what each took (ms)."""
        token = create_token(SECRET, QUIET, "eve", Role.USER)
        [session_id] = await trio.to_thread.run_sync(sessions, self.url, token, 1)
        headers = f"Authorization: Bearer {token}\r\nConnection: close\r\n"
        body = {"session_id": session_id, "content": WORDS, "mode": "stream"}
        request = post("/api/v1/chat.message", body, headers)
        host, port = self.url.removeprefix("http://").split(":")
        took: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(took) < least:
            began, answer = time.perf_counter(), b""
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(request)
                async for piece in stream:
                    answer += piece
            if b"event: chat.completed" not in answer:
                raise RuntimeError(answer.decode())
            took.append((time.perf_counter() - began) * 1000)
            await trio.sleep(0.005)
        return took

    async def ended(self) -> int:
        """Return how many turns of the noisy tenant have ended."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            text = (await client.get("/metrics")).text
        return round(sum(map(float, re.findall(rf'messages_processed_total{{.*tenant="{NOISY}".*}} (.+)', text))))

    async def measure(self, name: str, queued: int, seconds: float) -> Figures:
        """Measure once."""
        self.set_state("paused")
        first = await self.ended()
        await self.fill(queued)
        await self.take_turns(0.0, WARM_UP)
        alone = await self.take_turns(seconds / 4, WARM_UP)
        self.set_state("active")
        await trio.sleep(FIRST_CLAIMS_SECONDS)
        before, began, cpu = await self.ended(), time.perf_counter(), cpu_seconds(self.pid)
        await trio.sleep(seconds / 4)
        turns, took, cpu = await self.ended() - before, time.perf_counter() - began, cpu_seconds(self.pid) - cpu
        beside = await self.take_turns(seconds, 5)
        after = await self.ended()
        if not first <= before < after < first + queued:
            raise RuntimeError(f"there was no backlog beside: {first}, {before}, {after} of {first + queued} had ended")
        while await self.ended() < first + queued:  # noqa: ASYNC110 - the end of a queue is no event
            await trio.sleep(0.2)
        return {
            f"{name}, turns/s": turns / took,
            f"{name}, CPU ms a turn": 1000 * cpu / turns,
            f"{name}, alone p50 ms": median(alone),
            f"{name}, alone p99 ms": quantiles(alone, n=100)[98],
            f"{name}, beside p50 ms": median(beside),
            f"{name}, beside p99 ms": quantiles(beside, n=100)[98],
        }


@asynccontextmanager
async def open_service(*, adaptive: bool) -> AsyncIterator[Service]:
    """Run a service."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store:
            with serving([sys.executable, "-m", "orchestrator.sandbox"], {"PATH": ""}) as (sandbox, _):
                environ = {
                    "PATH": "",
                    "ORCH_REDIS_URL": store.url,
                    "ORCH_JWT__SECRET": SECRET,
                    "ORCH_LOG_LEVEL": "warning",
                    "ORCH_ADAPTIVE_CONCURRENCY": str(adaptive).lower(),
                    "ORCH_METRICS_PUBLIC": "true",
                    "ORCH_RATE_ADDRESS": "0",
                    "ORCH_RATE_TENANT": "1000000",
                    "ORCH_RATE_USER": "1000000",
                    "ORCH_QUEUE_LENGTH": "1000000",
                    **{f"ORCH_SERVICES__{name.upper()}__URL": f"{sandbox}/{name}" for name in SERVICES},
                }
                command = [sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"]
                with serving(command, environ) as (url, pid), redis.Redis.from_url(store.url) as client:
                    yield Service(url, pid, partial(set_state, client))


def set_state(client: "redis.Redis", state: str) -> None:
    """Pause the noisy tenant (`paused`), or have its queue worked off (`active`)."""
    client.hset(f"orchestrator:tenant:{NOISY}:config", "state", state)
    if state == "active":
        client.zadd("orchestrator:ready", {NOISY: 0})
        client.publish("orchestrator:wake", NOISY)


@asynccontextmanager
async def opened(queued: int = 3000, seconds: float = 4.0) -> AsyncIterator[Round]:
    """Run two services, one of each way."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(open_service(adaptive=True))
        without = await stack.enter_async_context(open_service(adaptive=False))

        async def one_round() -> Figures:
            return {
                **await ours.measure("adaptive", queued, seconds),
                **await without.measure("all slots", queued, seconds),
            }

        yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "a turn beside another tenant's 3,000 queued turns, p50",
            "the same turn alone",
            "adaptive, beside p50 ms",
            "adaptive, alone p50 ms",
            at_most(3),
        ),
        Row(
            "a turn beside another tenant's 3,000 queued turns, p99",
            "the same turn alone",
            "adaptive, beside p99 ms",
            "adaptive, alone p99 ms",
            at_most(6),
        ),
        Row(
            "turns a second of a backlog whose services answer at once",
            "all of `ORCH_CONCURRENCY` at once",
            "adaptive, turns/s",
            "all slots, turns/s",
            at_least(0.95),
        ),
    ),
    smallest={"queued": 800, "seconds": 0.3},
)

if __name__ == "__main__":
    run(BENCHMARK)
