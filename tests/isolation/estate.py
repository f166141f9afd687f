"""What Ann of acme owns: one of everything, with a word in all of it that no other user may read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import define, evolve, field

from orchestrator.config.defaults import DEFAULTS
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer, keyed
from tests.support.eventually import eventually
from tests.support.house import Reply
from tests.support.served import Client, service

WORD: Final = "xyzzyplugh"
COUNTED: Final = tuple(f"orchestrator:{what}" for what in ("limits", "admin", "address", "audit", "nodes", "ready"))
"""Beginnings of the keys that a refused request may change: limits, the audit trail, signs of life."""
PLAN: Final[dict[str, Any]] = {
    "calls": {
        "ask": {
            "service": "agent_execution",
            "operation": "execute",
            "parameters": {"agent_id": "echo", "query": f"{WORD} of a plan"},
        }
    }
}
_READ: Final = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"stream": ("XRANGE", "-", "+"),
}


@define
class Estate:
    """Ann's things, and a process that takes requests and works on nothing."""

    client: Client
    redis: Redis
    sandbox: Sandbox
    ids: dict[str, str] = field(factory=dict)
    """By the name that a path or body has for it."""
    replies: list[Reply] = field(factory=list)
    """What Ann was answered."""

    async def call(self, method: str, name: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Ask a route of the public API, as Ann where `headers` say nothing else."""
        return await self.client.call(method, f"/api/v1/{name}", body, dict(headers) if headers else None)

    async def contents(self) -> dict[bytes, Any]:
        """Return all that Redis holds, but for what is counted."""
        keys = sorted([key async for key in self._keys()])
        kinds = await self.redis.gather([("TYPE", key) for key in keys])
        there = [(key, _READ[kind]) for key, kind in zip(keys, kinds, strict=True) if kind in _READ]
        values = await self.redis.gather([(command, key, *rest) for key, (command, *rest) in there])
        return {key: _plain(value) for (key, _), value in zip(there, values, strict=True)}

    async def _keys(self) -> AsyncIterator[bytes]:
        async for key in self.redis.scan_iter(count=1000):
            if not key.decode().startswith(COUNTED):
                yield key

    async def commands(self) -> dict[str, int]:
        """Return how often Redis has run each command, scripts' own included."""
        stats = await self.redis.info("commandstats")
        return {name: figures["calls"] for name, figures in stats.items() if name not in _OF_THE_TEST}

    def told(self, reply: Reply, *sent: str) -> list[str]:
        """Return what an answer says of Ann's things beyond what was sent."""
        text = (reply.raw + str(reply.headers).encode()).decode(errors="replace")
        mine = [value for name, value in self.ids.items() if name not in _SHARED]
        return [mark for mark in (WORD, *mine) if mark in text and mark not in sent]


_SHARED: Final = {"agent_id", "user_id", "tenant_id", "tool_id"}
_OF_THE_TEST: Final = {"cmdstat_info", "cmdstat_ping", "cmdstat_client|setinfo", "cmdstat_scan", "cmdstat_type"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(sorted(value.items()))
    return sorted(value) if isinstance(value, set) else value


@asynccontextmanager
async def open_estate(redis_url: str, folder: Path) -> AsyncIterator[Estate]:
    """Make Ann's things, stop all work on them, and run a process that only takes requests."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "page.md").write_text("# Page\n\nThere is one page.\n")
    async with run_sandbox(docs=folder / "docs") as sandbox, open_redis(redis_url) as redis:
        services = {name: evolve(own, url=sandbox.urls[name]) for name, own in DEFAULTS.services.items()}
        async with service(redis_url, consuming=True, services=services) as client:
            estate = Estate(client, redis, sandbox)
            await _furnish(estate)
        # Who tries so much would soon be slowed down.
        async with service(redis_url, services=services, auth_failures=100_000) as estate.client:
            yield estate


async def _furnish(estate: Estate) -> None:
    ids = estate.ids
    ids |= {"agent_id": "echo", "user_id": "ann", "tenant_id": "acme", "tool_id": "calculator"}
    noted = {"agent_id": "echo", "metadata": {"note": WORD}, "context": {"note": WORD}}
    ids["session_id"] = (await _done(estate, "POST", "session.create", noted)).data["session_id"]
    asked = {"session_id": ids["session_id"], "content": f"{WORD} of a turn", "mode": "wait"}
    said = await _done(estate, "POST", "chat.message", asked)
    ids["answer_id"], ids["message_id"] = said.data["message_id"], said.data["parent_message_id"]
    ids["correlation_id"] = said.headers["X-Correlation-ID"]
    [task] = (await _done(estate, "GET", "task.list")).data["items"]
    ids["task_id"] = task["task_id"]
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ids["other_session_id"] = (await _done(estate, "POST", "session.create", noted)).data["session_id"]
    asked = {"session_id": ids["other_session_id"], "content": WORD, "scheduled_for": later}
    ids["later_id"] = (await _done(estate, "POST", "chat.message", asked)).data["task_id"]
    batch = {"agent_id": "echo", "items": [{"content": f"{WORD} {number}"} for number in range(2)]}
    ids["batch_id"] = (await _done(estate, "POST", "batch.create", batch)).data["batch_id"]
    plan = await _done(estate, "POST", "workflow.execute", {"plan": PLAN, "mode": "wait"})
    ids["workflow_task_id"] = plan.data["task_id"]
    schedule = {"cron": "0 0 1 1 *", "agent_id": "echo", "content": WORD}
    ids["schedule_id"] = (await _done(estate, "POST", "schedule.create", schedule)).data["schedule_id"]
    note = {"user_ids": ["ann"], "title": WORD, "message": WORD}
    sent = await estate.client.call("POST", "/internal/v1/notification.send", note, keyed(INTERNAL_KEY))
    ids["notification_id"] = sent.data["notification_id"]
    made = await estate.client.call("POST", "/internal/v1/key.create", {"name": "another"}, keyed(ADMIN_KEY, ""))
    ids["key_id"] = made.data["record"]["key_id"]
    ids["ticket"] = (await _done(estate, "POST", f"session.ticket/{ids['session_id']}")).data["ticket"]
    listed = await _done(estate, "GET", "task.list?limit=1")
    ids["cursor"] = orjson.loads(listed.raw)["meta"]["pagination"]["next_cursor"]
    await _done(estate, "GET", "notification.list")
    await eventually(
        "the batch has ended",
        lambda: estate.call("GET", f"batch.get/{ids['batch_id']}"),
        lambda reply: reply.data["status"] == "completed",
    )


async def _done(estate: Estate, method: str, name: str, body: Any = None) -> Reply:
    reply = await estate.call(method, name, body, bearer())
    assert reply.status < 300, (name, reply.raw)
    return reply
