"""Turns of a whole platform in processes of their own, sent by callers that wait for each answer."""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import trio
from attrs import field, frozen

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET
from tests.benchmarks.processes import serving

LIMITS: Final = {f"ORCH_RATE_{name}": "1000000" for name in ("TENANT", "USER", "ADDRESS")}


@frozen
class Load:
    """A running service, and sessions in it.

    Args:
        client: asks it, as one user.
        pid: of the process that was started, which has others under it where there are several workers.
    """

    client: httpx.AsyncClient
    pid: int
    sessions: list[str] = field(factory=list)

    async def open_sessions(self, count: int) -> None:
        """Create sessions."""
        for _ in range(count):
            created = await self.client.post("/api/v1/session.create", json={"agent_id": "echo"})
            self.sessions.append(created.json()["data"]["session_id"])

    async def turn(self, session_id: str) -> float:
        """Take a turn of ten words; returns how many ms it took."""
        began = time.perf_counter()
        body = {"session_id": session_id, "content": "echo 10 words", "mode": "wait"}
        answer = await self.client.post("/api/v1/chat.message", json=body)
        assert answer.status_code == 200, answer.text
        return (time.perf_counter() - began) * 1000

    async def rate(self, seconds: float) -> float:
        """Return the turns a second that callers get, one for each session, each without a pause."""
        done, end = 0, time.perf_counter() + seconds

        async def caller(session_id: str) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await self.turn(session_id)
                done += 1

        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for session_id in self.sessions:
                nursery.start_soon(caller, session_id)
        return done / (time.perf_counter() - began)


@asynccontextmanager
async def open_load(callers: int, *, workers: int = 1) -> AsyncIterator[Load]:
    """Run Redis, the stand-ins of the services and so many workers of ours."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store:
            environ = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
            with serving([sys.executable, "-m", "orchestrator.sandbox"], environ) as (sandbox, _):
                environ |= {
                    "ORCH_REDIS_URL": store.url,
                    "ORCH_JWT__SECRET": SECRET,
                    "ORCH_LOG_LEVEL": "error",
                    **LIMITS,
                    **{f"ORCH_SERVICES__{name.upper()}__URL": f"{sandbox}/{name}" for name in SERVICES},
                }
                command = [sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0", "--workers", str(workers)]
                with serving(command, environ) as (service, pid):
                    headers = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'ann', Role.USER)}"}
                    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
                    async with httpx.AsyncClient(
                        base_url=service, headers=headers, trust_env=False, timeout=60, limits=limits
                    ) as client:
                        load = Load(client, pid)
                        await load.open_sessions(callers)
                        yield load
