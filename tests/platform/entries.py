"""Entries of other programs, as they write them into a lane, and what becomes of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import trio
from attrs import frozen

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.models.tasks.task import Lane
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.end_to_end.stack import Stack
from tests.platform.vectors import vector
from tests.support.eventually import eventually

TASK: Final = "7a5c0000-0000-4000-8000-000000000001"
MESSAGE: Final = "f4a30000-0000-4000-8000-000000000001"
SESSION: Final = "5e551000-0000-4000-8000-000000000001"
CORRELATION: Final = "c0440000-0000-4000-8000-000000000001"
ENDED: Final = frozenset({"completed", "failed", "cancelled", "partial"})


@frozen
class Writer:
    """Another program that writes into the lanes of a running stack."""

    stack: Stack
    redis: Redis
    keys: Keys

    async def write(self, name: str, *, session_id: str = "", **fields: Any) -> str:
        """Write a documented entry with ids of its own, and return the id of its task."""
        ids = {TASK: new_id(), MESSAGE: new_id(), CORRELATION: new_id(), SESSION: session_id or new_id()}
        message = {**vector(name).filled(ids), **fields}
        if not session_id:
            message.pop("session_id", None)
            message.get("metadata", {}).pop("session_id", None)
        await self.put(message)
        return str(message.get("task_id") or message["message_id"])

    async def put(self, message: dict[str, Any], tenant: str = "acme") -> None:
        """Write an entry, and tell no process of it."""
        await self.redis.xadd(self.keys.lane(tenant, Lane.NORMAL), {"message": orjson.dumps(message)})

    async def task(self, task_id: str) -> dict[str, Any]:
        """Return a task as an operator sees it; empty while there is none."""
        async with self.stack.client(self.stack.token(user="root", role=Role.ADMIN)) as client:
            answer = await client.get(f"/api/v1/task.get/{task_id}")
        return dict(answer.json()["data"]) if answer.status_code == 200 else {}

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Return a task once it has ended."""
        return await eventually(
            f"{task_id} has ended", lambda: self.task(task_id), lambda task: task.get("status") in ENDED
        )

    async def run(self, name: str, *, session_id: str = "", **fields: Any) -> dict[str, Any]:
        """Write a documented entry, and return its task once it has ended."""
        return await self.ended(await self.write(name, session_id=session_id, **fields))

    async def taken_in(self, task_id: str) -> float:
        """Return after how many seconds a task has its record."""
        began = trio.current_time()
        await eventually(f"{task_id} is a task", lambda: self.redis.exists(self.keys.task("acme", task_id)), bool)
        return trio.current_time() - began

    async def dead_letters(self) -> list[str]:
        """Return the reasons of the dead letters."""
        letters = await self.redis.xrange(self.keys.dead_letters("acme"))
        return [orjson.loads(fields[b"error"])["message"] for _, fields in letters]


@asynccontextmanager
async def open_writer(stack: Stack) -> AsyncIterator[Writer]:
    """Open a connection of another program's."""
    async with open_redis(stack.redis.url) as redis:
        yield Writer(stack, redis, Keys())
