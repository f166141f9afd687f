"""What requests and sockets take while their process works off a backlog, beside the same while it has nothing to do.

    python -m tests.benchmarks.busy_consumer [--queued 3000] [--seconds 6]

One after the other a quiet tenant asks for a session, has a message accepted, and sends a ping over its socket: at
first with the other tenant's queue paused, then while that is worked off. A message that is accepted is a turn, too,
which runs beside. Service, stand-ins, Redis and the client are processes of one machine.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median, quantiles
from typing import Final

import httpx
import orjson
import trio
from trio_websocket import open_websocket_url

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from tests.benchmarks.accepting import SECRET
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.noisy_neighbour import FIRST_CLAIMS_SECONDS, QUIET, Service, open_service

LEAST = 10
PAUSE_SECONDS = 0.01
PING = {"type": {"domain": "system", "action": "ping"}, "data": {}}
PONG = {"domain": "system", "action": "pong"}
ASKED: Final = {"session": "GET session.get", "message": "POST chat.message", "ping": "ping of a socket"}


async def probe(service: Service, seconds: float) -> dict[str, list[float]]:
    """Ask in turn, for so long; returns what each took (ms)."""
    took: dict[str, list[float]] = {name: [] for name in ASKED}
    headers = {"Authorization": f"Bearer {create_token(SECRET, QUIET, 'eve', Role.USER)}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, trust_env=False, timeout=60) as client:
        created = await client.post("/api/v1/session.create", json={"agent_id": "echo"})
        session_id = created.json()["data"]["session_id"]
        url = f"{service.url.replace('http', 'ws')}/ws/v1/notifications"
        socket_headers = [(b"Authorization", headers["Authorization"].encode())]
        async with open_websocket_url(url, extra_headers=socket_headers) as socket:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or len(took["ping"]) < LEAST:
                began = time.perf_counter()
                answer = await client.get(f"/api/v1/session.get/{session_id}")
                asked = time.perf_counter()
                sent = await client.post("/api/v1/chat.message", json={"session_id": session_id, "content": "hello"})
                accepted = time.perf_counter()
                await socket.send_message(orjson.dumps(PING).decode())
                while orjson.loads(await socket.get_message())["type"] != PONG:
                    pass
                ended = time.perf_counter()
                answer.raise_for_status()
                sent.raise_for_status()
                for name, one in zip(took, (asked - began, accepted - asked, ended - accepted), strict=True):
                    took[name].append(one * 1000)
                await trio.sleep(PAUSE_SECONDS)
    return took


def _figures(state: str, took: dict[str, list[float]]) -> Figures:
    return {
        f"{state}, {name} {which} ms": value
        for name, values in took.items()
        for which, value in (("p50", median(values)), ("p99", quantiles(values, n=100)[98]))
    }


@asynccontextmanager
async def opened(queued: int = 3000, seconds: float = 6.0) -> AsyncIterator[Round]:
    """Run a service."""
    async with open_service(adaptive=True) as service:

        async def one_round() -> Figures:
            service.set_state("paused")
            first = await service.ended()
            await service.fill(queued)
            await probe(service, seconds / 6)
            idle = await probe(service, seconds / 2)
            service.set_state("active")
            await trio.sleep(FIRST_CLAIMS_SECONDS)
            before = await service.ended()
            busy = await probe(service, seconds)
            after = await service.ended()
            if not first <= before < after < first + queued:
                raise RuntimeError(f"there was no backlog beside: {first}, {before}, {after} had ended")
            while await service.ended() < first + queued:  # noqa: ASYNC110 - the end of a queue is no event
                await trio.sleep(0.2)
            return {**_figures("idle", idle), **_figures("busy", busy)}

        yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=tuple(
        Row(
            f"{what} beside 3,000 queued turns, {which}",
            "the same while nothing is worked off",
            f"busy, {name} {which} ms",
            f"idle, {name} {which} ms",
            at_most(reach),
        )
        for name, what in ASKED.items()
        for which, reach in (("p50", 3), ("p99", 6))
    ),
    smallest={"queued": 600, "seconds": 0.3},
)

if __name__ == "__main__":
    run(BENCHMARK)
