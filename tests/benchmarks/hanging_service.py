"""What a hanging service costs those who don't need it.

    python -m tests.benchmarks.hanging_service [--seconds 10] [--load 5]

Two stacks run side by side, each with one user who talks to `echo`, turn after turn, beside others whose agent uses a
tool (`--load` turns a second). In one of them the Tool Registry stops answering for a while. Turns of the two are taken
in turn, so that both meet the same machine: the ratio is that of their medians while one hangs, divided by that while
both are well. Beside it stands when a breaker opened: that of the one tool that is called, or of the Tool Registry; and
when both were closed again by themselves.
"""

import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import httpx
import trio
from attrs import define, field

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import serving

KEY = "benchmark-key"
CLOSES_WITHIN = 45.0
"""Seconds: the time that a standard service is left alone, and some."""
LOOK_SECONDS = 0.1
WARM_UP = 20
BREAKERS = ("breaker_state", "callee_breakers_open")


@define
class Bench:
    """A running service, and who talks to it."""

    client: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    echo: str = ""
    calculators: list[str] = field(factory=list)

    async def open(self) -> None:
        """Create the sessions."""
        self.echo = await self._session("echo")
        self.calculators = [await self._session("calculator") for _ in range(200)]
        for _ in range(WARM_UP):
            await self.talk()

    async def _session(self, agent_id: str) -> str:
        answer = await self.client.post("/api/v1/session.create", json={"agent_id": agent_id})
        session_id: str = answer.json()["data"]["session_id"]
        return session_id

    async def talk(self) -> float:
        """Take an echo turn; returns how many ms it took."""
        body = {"session_id": self.echo, "content": "echo 20 words", "mode": "wait"}
        began = time.perf_counter()
        answer = await self.client.post("/api/v1/chat.message", json=body)
        assert answer.status_code == 200, answer.text
        return (time.perf_counter() - began) * 1000

    async def load(self, a_second: float) -> None:
        """Send turns that need the tool, for ever."""
        number = 0
        while True:
            session_id = self.calculators[number % len(self.calculators)]
            body = {"session_id": session_id, "content": f"{number} * 2"}
            await self.client.post("/api/v1/chat.message", json=body)
            number += 1
            await trio.sleep(1 / a_second)

    async def until_left_alone(self, *, left_alone: bool) -> float:
        """Return after how many seconds the Tool Registry, or the tool that is called, was left alone, or no more."""
        began = time.perf_counter()
        while await self._is_left_alone() is not left_alone:  # noqa: ASYNC110 - another process
            await trio.sleep(LOOK_SECONDS)
        return time.perf_counter() - began

    async def _is_left_alone(self) -> bool:
        figures = (await self.client.get("/metrics")).text
        closed = (f'nooble_orchestrator_{name}{{service="tool_registry"}} 0.0' for name in BREAKERS)
        return not all(figure in figures for figure in closed)

    async def hang(self) -> None:
        """Have the Tool Registry answer nothing any more."""
        fault = {"kind": "hang", "service": "tool_registry"}
        assert (await self.sandbox.post("/control/faults", json=fault)).status_code == 201

    async def heal(self) -> None:
        """Have it answer again."""
        await self.sandbox.delete("/control/faults")


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Run Redis, sandbox and service."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder)) as store:
            with serving([sys.executable, "-m", "orchestrator.sandbox"], {"PATH": ""}) as (sandbox, _):
                environ = {
                    "PATH": "",
                    "ORCH_REDIS_URL": store.url,
                    "ORCH_JWT__SECRET": SECRET,
                    "ORCH_LOG_LEVEL": "error",
                    "ORCH_API_KEYS": f"b:internal:{sha256(KEY.encode()).hexdigest()}",
                    "ORCH_METRICS_PUBLIC": "1",
                    "ORCH_SERVICES__TOOL_REGISTRY__TIMEOUT": "2",
                    **{f"ORCH_SERVICES__{name.upper()}__URL": f"{sandbox}/{name}" for name in SERVICES},
                }
                with serving([sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"], environ) as (service, _):
                    headers = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'ann', Role.USER)}"}
                    async with (
                        httpx.AsyncClient(base_url=service, headers=headers, trust_env=False, timeout=60) as client,
                        httpx.AsyncClient(base_url=sandbox, trust_env=False) as control,
                    ):
                        yield Bench(client, control)


async def talk(here: Bench, beside: Bench, seconds: float) -> tuple[list[float], list[float]]:
    """Take turns of both in turn for so long; returns how many ms each took."""
    took: tuple[list[float], list[float]] = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for bench_, found in zip((here, beside), took, strict=True):
            found.append(await bench_.talk())
            await trio.sleep(0.01)
    return took


async def hang_once(here: Bench, beside: Bench, seconds: float) -> Figures:
    """Measure once: well, hanging, well again."""
    moments: dict[str, float] = {}

    async def note(name: str, *, left_alone: bool) -> None:
        moments[name] = round(await here.until_left_alone(left_alone=left_alone), 1)

    phases = {"healthy": await talk(here, beside, seconds)}
    await here.hang()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(note, "opened", left_alone=True))
        phases["hanging"] = await talk(here, beside, seconds)
        nursery.cancel_scope.deadline = trio.current_time() + seconds
    await here.heal()
    with trio.move_on_after(CLOSES_WITHIN):
        await note("closed", left_alone=False)
    phases["recovered"] = await talk(here, beside, seconds)
    well = _ratio(*(a + b for a, b in zip(phases["healthy"], phases["recovered"], strict=True)))
    found = {"ratio": _ratio(*phases["hanging"]) / well, **{f"{name}, s": at for name, at in moments.items()}}
    for phase, sides in phases.items():
        for side, took in zip(("here", "beside"), sides, strict=True):
            found |= {f"{phase}, {side}, p50 ms": median(took), f"{phase}, {side}, p95 ms": quantiles(took, n=20)[18]}
            found |= {f"{phase}, {side}, turns": float(len(took))}
    return found


def _ratio(here: list[float], beside: list[float]) -> float:
    return median(here) / median(beside)


@asynccontextmanager
async def opened(seconds: float = 10.0, load: float = 5.0) -> AsyncIterator[Round]:
    """Start both stacks, and the load on them."""
    async with bench() as here, bench() as beside, trio.open_nursery() as nursery:
        for one in (here, beside):
            await one.open()
            nursery.start_soon(one.load, load)
        yield partial(hang_once, here, beside, seconds)
        nursery.cancel_scope.cancel()


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "a turn beside a hanging service that it does not need",
            "the same while all are well",
            "ratio",
            reach=at_most(1.1),
        ),
        Row("until a hanging service is left alone", "itself", "opened, s", unit="s"),
    ),
    smallest={"seconds": 1.0},
)

if __name__ == "__main__":
    run(BENCHMARK)
