"""Many sockets of one process: what an idle one takes beside a bare one, and how fast an event reaches a whole session.

    python -m tests.benchmarks.many_sockets [--sockets 5000] [--followers 1000]

The service runs as it does in production, in a process of its own over a real Redis; the clients answer pings,
and are nothing but system sockets, so that what they take of the machine does not count for much.
"""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import trio

from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import beside, resident_kib
from tests.benchmarks.raw_sockets import raw_sockets
from tests.end_to_end.stack import Stack, open_stack

EVENT: Final = b'"state_update"'
FIRST: Final = 50
SOCKETS_OF_A_SESSION: Final = 10
SETTINGS: Final = {
    "rate_tenant": "1000000",
    "rate_user": "1000000",
    "rate_address": "0",
    "address_connections": "10000",
    "ws_connections": "10000",
}


async def idle(port: int, pid: int, paths: list[str], token: str) -> float:
    """Return the KiB that an idle socket takes."""
    return await trio.to_thread.run_sync(_idle, port, pid, paths, token)


def _idle(port: int, pid: int, paths: list[str], token: str) -> float:
    with raw_sockets(port, paths[:FIRST], token) as first:  # what the first sockets load is no cost of the others
        first.rest(0.5)
        before = resident_kib(pid)
        with raw_sockets(port, paths[FIRST:], token) as others:
            others.rest(2.0)
            return (resident_kib(pid) - before) / len(others)


async def tell_all(stack: Stack, followers: int, rounds: int) -> list[float]:
    """Return the seconds from each event's request to each of a session's sockets."""
    session, token = await stack.session(), stack.token()
    port, took = int(stack.node.url.rpartition(":")[2]), []
    paths = [f"/ws/v1/chat/{session}"] * followers
    async with stack.client() as http:
        with await trio.to_thread.run_sync(raw_sockets, port, paths, token) as sockets:
            await http.post("/api/v1/chat.message", json={"session_id": session, "content": "hello", "mode": "wait"})
            await trio.to_thread.run_sync(sockets.rest, 1.0)
            for number in range(rounds):
                begun = time.perf_counter()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_change, http, ("pause", "resume")[number % 2], session)
                    came = await trio.to_thread.run_sync(sockets.until_all_have, EVENT)
                took += [moment - begun for moment in came]
    return took


async def _change(http: httpx.AsyncClient, action: str, session: str) -> None:
    answer = await http.put(f"/api/v1/session.{action}/{session}")
    assert answer.status_code == 200, answer.text


async def measure(sockets: int, followers: int, events: int) -> Figures:
    """Run everything once."""
    found: dict[str, float] = {}
    with beside("tests.benchmarks.websocket_push", "serve_bare") as (port, pid):
        found["bare, KiB an idle socket"] = await idle(port, pid, ["/ws"] * sockets, "none")
    with tempfile.TemporaryDirectory() as folder:
        async with open_stack(Path(folder)) as stack:
            node = await stack.start(**SETTINGS)
            sessions = [await stack.session() for _ in range(max(1, sockets // SOCKETS_OF_A_SESSION))]
            paths = [f"/ws/v1/chat/{sessions[number % len(sessions)]}" for number in range(sockets)]
            port = int(node.url.rpartition(":")[2])
            found["ours, KiB an idle socket"] = await idle(port, node.process.pid, paths, stack.token())
            found["beyond bare, KiB"] = found["ours, KiB an idle socket"] - found["bare, KiB an idle socket"]
            took = sorted(await tell_all(stack, followers, events))
    found["one event to all, p50 s"] = statistics.median(took)
    found["one event to all, p99 s"] = took[int(len(took) * 0.99)]
    found["one event to all, longest s"] = took[-1]
    return found


@asynccontextmanager
async def opened(sockets: int = 5000, followers: int = 1000, events: int = 10) -> AsyncIterator[Round]:
    """Yield what measures so many sockets."""
    yield partial(measure, sockets, followers, events)


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("memory of an idle socket beyond a bare one", "a bare QuartTrio socket", "beyond bare, KiB", None,
            at_most(40), "KiB"),
        Row("one event to all sockets of a session, p99", "itself", "one event to all, p99 s", None, at_most(1), "s"),
    ),
    smallest={"sockets": 60, "followers": 5, "events": 1},
    rounds=1,
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
