"""Calls of the gateway under faults, killed processes and leaving clients: the ledger says what the services counted.

`GATEWAY_CALLS=10000` makes the run long, `CHAOS_SEED` repeats one. The seed and what was done are printed.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import pytest
import trio
from attrs import define, field

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.end_to_end.stack import INTERNAL_KEY, Node, Stack, open_stack
from tests.support.eventually import eventually
from tests.support.http import loopback_client

CALLS: Final = int(os.environ.get("GATEWAY_CALLS", "120"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "20260101"))
PROCESSES: Final = 3 if CALLS > 1000 else 2
CALLERS: Final = 16
KINDS: Final = ("fault", "kill", "fault", "redis", "fault", "fault", "term")
SECONDS: Final = 60.0 + CALLS / 5
CALM_SECONDS: Final = 90.0
"""More than a breaker of the least critical services stays open."""
BUDGET: Final = CALLS * 60
"""Of the tenant globex, which asks for more."""
FIELDS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
WORDS: Final = ("tenant", "queue", "drain", "session", "stream", "lease", "token", "budget", "agent", "batch")
FAULTS: Final = (
    InjectedFaultKind.ERROR,
    InjectedFaultKind.CUT,
    InjectedFaultKind.GARBAGE,
    InjectedFaultKind.CUT,
    InjectedFaultKind.HANG,
    InjectedFaultKind.LATENCY,
)


@define(eq=False)
class Chaos:
    """Some processes, and everything that happens to them."""

    stack: Stack
    random: Random
    alive: list[Node] = field(factory=list)
    due: list[str] = field(factory=list)
    done: Counter[str] = field(factory=Counter)
    left: int = CALLS

    async def start(self) -> None:
        """Start a process."""
        # A breaker that opens would hold up what is in doubt for its time: it is tried elsewhere.
        settings = {"services__query__timeout": "2", "services__embedding__timeout": "2"}
        settings["services__query__criticality"] = "non_critical"
        self.alive.append(await self.stack.start(lease="2", **settings))

    async def disturb(self) -> None:
        """Do something bad at random, and make it good."""
        if not self.due:
            self.due = self.random.sample(KINDS, len(KINDS))
        kind = self.due.pop()
        self.done[kind] += 1
        if kind == "fault":
            service = self.random.choice(["query", "embedding"])
            what = self.random.choice(FAULTS)
            # Slower than the orchestrator waits: the work is done, and its answer is lost.
            fault = InjectedFault(
                what, service=service, status=self.random.choice([500, 503]), count=2, latency_ms=2100
            )
            self.stack.sandbox.faults.add(fault)
        elif kind == "redis":
            await self.stack.redis.kill()
            await trio.sleep(self.random.uniform(0, 0.5))
            await self.stack.redis.start()
        else:
            node = self.alive.pop(self.random.randrange(len(self.alive)))
            if kind == "kill":
                await node.kill()
            else:
                assert await node.stop() == 0
            await self.start()

    async def call(self, random: Random) -> None:
        """Make calls until enough were made; each may be left, and may be repeated under its key."""
        while self.left > 0:
            self.left -= 1
            async with loopback_client(timeout=30) as client:
                headers = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": random.choice(["acme", "acme", "globex"])}
                if random.random() < 0.5:
                    headers["Idempotency-Key"] = new_id()
                route, body = self.request(random)
                for _ in range(random.choice([1, 1, 2])):
                    with trio.move_on_after(random.choice([30, 30, random.uniform(0, 0.2)])) as patience:
                        self.done[await self.send(client, route, body, headers, random)] += 1
                    if patience.cancelled_caught:
                        self.done["left"] += 1

    def request(self, random: Random) -> tuple[str, dict[str, Any]]:
        """Make a request; some are made by several."""
        words = " ".join(random.choices(WORDS, k=random.randint(1, 3)))
        match random.randrange(4):
            case 0:
                return "embedding.create", {"texts": [words, f"{words} {random.randrange(1000)}"]}
            case 1:
                return "query.search", {"query": f"{words} {random.randrange(1000)}", "collection_id": "docs"}
            case kind:
                body = {"query": words, "collection_id": "docs", "max_tokens": 300, "temperature": random.randrange(2)}
                return "query.generate", {**body, "stream": kind == 2, "agent_id": "docs-guide"}

    async def send(
        self, client: httpx.AsyncClient, route: str, body: dict[str, Any], headers: dict[str, str], random: Random
    ) -> str:
        """Send a request to any process; says how it ended."""
        await eventually("a process is alive", lambda: self.alive, within=CALM_SECONDS)
        url = f"{random.choice(self.alive).url}/internal/v1/{route}"
        try:
            answer = await client.post(url, json=body, headers=headers)
        except httpx.TransportError:
            return "broken"
        return str(answer.status_code) if answer.status_code != 429 else str(answer.json()["error"]["code"])


@pytest.fixture
async def chaos(tmp_path: Path) -> AsyncIterator[Chaos]:
    async with open_stack(tmp_path) as stack:
        chaos = Chaos(stack, Random(SEED))
        async with trio.open_nursery() as nursery:
            for _ in range(PROCESSES):
                nursery.start_soon(chaos.start)
        yield chaos


async def until_settled(redis: Redis, keys: Keys) -> None:
    """Wait until no call is open: every doubt was solved."""
    calls = keys.calls("acme"), keys.calls("globex")
    await eventually("no call is open", lambda: redis.exists(*calls), lambda left: left == 0, within=CALM_SECONDS)


async def totals(chaos: Chaos, tenant_id: str, first: datetime) -> dict[str, int]:
    """What `usage.get` says of a tenant."""
    headers = {"Authorization": f"Bearer {chaos.stack.token(tenant_id, role=Role.OPERATOR)}"}
    async with loopback_client(timeout=30, headers=headers) as client:
        url = f"{chaos.alive[0].url}/api/v1/usage.get"
        answer = await client.get(url, params={"from": f"{first:%Y-%m-%d}", "group_by": "model"})
    told: dict[str, int] = answer.json()["data"]["totals"]
    return told


# A request that is left while it is sent leaves the client's own generator behind, which trio warns of.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Async generator 'httpcore:ResourceWarning")
async def test_whatever_dies_the_ledger_agrees_with_the_services(chaos: Chaos) -> None:
    began, keys, stack = datetime.now(UTC), Keys(), chaos.stack
    async with open_redis(stack.redis.url) as redis:
        await redis.hset(keys.tenant_config("globex"), "tokens_day", BUDGET)
    with trio.fail_after(SECONDS):
        async with trio.open_nursery() as nursery, trio.open_nursery() as callers:
            for number in range(CALLERS):
                callers.start_soon(chaos.call, Random(SEED + number))
            while callers.child_tasks:
                await trio.sleep(chaos.random.uniform(0.1, 0.6) * (1 + CALLS / 1000))
                await chaos.disturb()
            nursery.cancel_scope.cancel()
    assert [node.process.poll() for node in chaos.alive] == [None] * PROCESSES, "a process ended by itself"
    stack.sandbox.faults.clear()
    async with open_redis(stack.redis.url) as redis:
        await until_settled(redis, keys)
        for tenant_id in ("acme", "globex"):
            told, counted = await totals(chaos, tenant_id, began), stack.sandbox.spent.of(tenant_id)
            print(f"seed {SEED}: {tenant_id} {told} {dict(chaos.done)}")  # noqa: T201 - a failed run is repeated by this
            assert told["unsettled_tokens"] == 0
            assert told["requests"] - told["cached"] == counted["requests"]
            assert [told[name] for name in FIELDS] == [counted[name] for name in FIELDS]
            assert told["total_tokens"] > 0
        for period in (f"{began:%Y%m%d}", f"{began:%Y%m}"):
            budget = await redis.hgetall(keys.budget("globex", period))
            assert int(budget[b"reserved"]) == 0
        assert stack.sandbox.spent.of("globex")["total_tokens"] <= BUDGET
    assert chaos.done["ORCH_RATE_002"] > 0
