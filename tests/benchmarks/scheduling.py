"""What a claim costs, from ten tenants to ten thousand, and from an empty queue to a million waiting tasks.

    python -m tests.benchmarks.scheduling [--tenants 10,10000] [--backlog 0,1000000] [--claims 2000]

Entries and records are written directly, as admission leaves them, so that a million of them is there in seconds; every
tenant has at least 20. Each round measures the first and the last case; the figure is the scheduler's own: take the
next tenants, claim from them, settle.
"""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from orchestrator.codec import encode
from orchestrator.domain.tasks.fairness import Contender, distribute
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.tasks.task import TaskMessage, TaskMetadata
from orchestrator.queue.worker.scheduler import TENANTS_A_ROUND
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.ready import ReadyTenants, Settlement
from orchestrator.store.tasks.tasks import TaskStore
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, run

SLOTS = 100
_FILL = """
for i = ARGV[2], ARGV[3] do
  local id = 't' .. i
  local entry = redis.call('XADD', KEYS[1], '*', 'task_id', id, 'message', ARGV[4])
  redis.call('HSET', 'orchestrator:task:' .. ARGV[1] .. ':' .. id, 'task_id', id, 'message', ARGV[4],
    'status', 'pending', 'attempt', 0, 'lane', 'normal', 'priority', 5,
    'type', 'chat.message', 'created_at', 0, 'correlation_id', 'c', 'user_id', 'u', 'entry', entry)
end
return 1
"""


async def fill(redis: Redis, tenant: str, first: int, count: int) -> None:
    """Give a tenant so many tasks."""
    message = TaskMessage(
        message_id="m",
        task_id="t",
        tenant_id=tenant,
        correlation_id="c",
        created_at="2026-01-01T00:00:00.000Z",
        type=MessageType("chat", "message"),
        metadata=TaskMetadata("u"),
        payload={"content": "x" * 100},
    )
    for start in range(first, first + count, 5000):
        last = min(start + 5000, first + count) - 1
        await redis.eval(_FILL, 1, f"orchestrator:tasks:{tenant}", tenant, start, last, encode(message))


async def claim(redis: Redis, claims: int) -> float:
    """Claim as a scheduler with free slots does; returns claims a second."""
    ready, tasks = ReadyTenants(redis, Keys()), TaskStore(redis, Keys(), 1000)
    settlements: list[Settlement] = []
    done = 0
    began = time.perf_counter()

    async def serve(tenant_id: str, at: float, weight: float, share: int) -> None:
        nonlocal done
        batch = await tasks.claim(tenant_id, "node", share)
        done += batch.read
        settlements.append(Settlement(tenant_id, at + batch.read / weight, more=batch.more))

    while done < claims:
        settled, settlements = settlements, []
        turns = await ready.take(TENANTS_A_ROUND, settled)
        shares = distribute([Contender(one.tenant_id, one.virtual_time, one.weight) for one in turns], SLOTS)
        async with trio.open_nursery() as nursery:
            for turn in turns:
                share = shares.get(turn.tenant_id, 0)
                if share:
                    nursery.start_soon(serve, turn.tenant_id, turn.virtual_time, turn.weight, share)
                else:
                    settlements.append(Settlement(turn.tenant_id, turn.virtual_time, more=True))
    took = time.perf_counter() - began
    await ready.take(0, settlements)
    return done / took


async def with_tenants(tenants: int, claims: int) -> float:
    """Return claims a second where so many tenants have work."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store, open_redis(store.url) as redis:
            ready = ReadyTenants(redis, Keys())
            each = max(20, 2 * claims // tenants)
            for number in range(tenants):
                await fill(redis, f"tenant{number}", 0, each)
                await ready.mark(f"tenant{number}")
            return await claim(redis, claims)


async def with_backlog(backlog: int, claims: int) -> float:
    """Return claims a second of ten tenants, one of which has such a backlog."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            run_redis(Path(folder), appendonly=False) as store,
            open_redis(store.url, command_timeout=60) as redis,
        ):
            ready = ReadyTenants(redis, Keys())
            await fill(redis, "tenant0", 10_000, backlog)
            for number in range(10):
                await fill(redis, f"tenant{number}", 0, 2 * claims // 10)
                await ready.mark(f"tenant{number}")
            return await claim(redis, claims)


@asynccontextmanager
async def opened(tenants: str = "10,10000", backlog: str = "0,1000000", claims: int = 2000) -> AsyncIterator[Round]:
    """Yield what measures the first and the last case of each kind."""

    async def one_round() -> Figures:
        found = {}
        for title, cases, measure in (("tenants", tenants, with_tenants), ("backlog", backlog, with_backlog)):
            few, *_, many = (int(one) for one in cases.split(","))
            found[f"few {title}, claims/s"] = await measure(few, claims)
            found[f"many {title}, claims/s"] = await measure(many, claims)
        return found

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("claims a second with 10,000 tenants", "itself with 10", "many tenants, claims/s", "few tenants, claims/s",
            at_least(0.9)),
        Row("claims a second with 1,000,000 tasks waiting", "itself with none beside", "many backlog, claims/s",
            "few backlog, claims/s", at_least(0.9)),
    ),
    smallest={"tenants": "2,4", "backlog": "0,100", "claims": 20},
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
