"""How fast the queue is where the task does nothing: admitted, claimed, ended, with everything that is kept of it.

    python -m tests.benchmarks.queue_tasks [--tasks 5000] [--against dramatiq,taskiq]

One Redis without append-only file, one process that consumes with 100 slots. Kept of each task: the idempotency record
and its answer, the record (message, status, attempts, moments, result), two events in its log, its timeline, its place
in the tenant's index. Tenant and user pass their rate limits, the queue its bound, every write of the worker its fence,
and the books stay provable. The body reads its message and counts itself. As in the service, the garbage collector
leaves alone what a process has begun with.

- admit: tasks a second that 32 callers get accepted without a consumer
- drain: tasks a second of one consumer, from its start until nothing is left in the lanes
- both: the same with the producer in a process beside, from its first call until nothing is left
- latency: from the call that admits a task to the first line of its body, on an idle process
- remote: the same with the producer in a process beside
- requests, executed, bytes: what passes between the process and Redis for one task, and what Redis executes for it

Each round of ours is followed by one of every peer, on the same machine and the same program of Redis, where there is
an environment `queue` with a script `queue_peers.py`. It takes `run --peers NAME --runs 1 --n N --phases
drain,both,latency --out FILE`, and writes a line of JSON, `{"peer": …, "rows": {figure: [values]}}`.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import trio
from attrs import define, evolve, field

from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskMetadata, TaskStatus
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.running import keep_what_is_there
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.events.frames import make_body
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.script import load_scripts
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.stores import Stores
from orchestrator.store.tasks.admission import Verdict
from orchestrator.store.tasks.plain_tasks import KnownTenants, PlainTaskStore, Repeat, TaskBounds, TaskEnd
from tests.benchmarks.harness import Benchmark, Figures, Peers, Round, Row, at_least, at_most, run
from tests.benchmarks.traffic import Traffic
from tests.queue.stage import SETTINGS, Stage, open_stage

CALLERS: Final = 32
NOOP: Final = MessageType("test", "noop")
TENANT: Final = "acme"
WARM_UP: Final = 20
_RATES: Final = Rates(1e9, 1e9, 5)
_BOUNDS: Final = TaskBounds(retain_tasks=600)
_DEFAULTS: Final = LimitDefaults({"queue_length": str(10**7), "bytes": ""})
_PAD: Final = "x" * 150


@define
class Producer:
    """Admits tasks, as a service does on a request."""

    store: PlainTaskStore
    ready: ReadyTenants
    tenants: KnownTenants

    @classmethod
    def over(cls, redis: Redis, ready: ReadyTenants | None = None) -> "Producer":
        """Return a producer of its own, or one that wakes the scheduler of `ready`."""
        keys = Keys()
        return cls(
            PlainTaskStore(redis, keys, 1000, _DEFAULTS), ready or ReadyTenants(redis, keys), KnownTenants(redis, keys)
        )

    async def admit(self, number: int) -> None:
        """Admit a task."""
        message = TaskMessage(
            message_id=new_id(),
            task_id=new_id(),
            tenant_id=TENANT,
            correlation_id=new_id(),
            created_at=to_timestamp(now_ms()),
            type=NOOP,
            metadata=TaskMetadata("ann", request_id=new_id()),
            payload={"i": number, "t": time.monotonic_ns(), "prompt": _PAD},
        )
        digest = hashlib.sha256(_PAD.encode()).hexdigest()
        answer = b'{"task_id":"%b"}' % message.task_id.encode()
        body = make_body("task.accepted", {"i": number}, tenant_id=TENANT, correlation_id=message.correlation_id)
        await self.tenants.note(TENANT)
        expected = self.ready.expect(TENANT)
        admission = await self.store.admit(
            message,
            lane=Lane.NORMAL,
            event=("task.accepted", body),
            bounds=_BOUNDS,
            rates=_RATES,
            repeat=Repeat(message.message_id, digest),
            answer=answer,
        )
        assert admission.verdict is Verdict.OK
        await self.ready.mark(TENANT, expected=expected)

    async def admit_all(self, tasks: int) -> None:
        """Admit so many tasks by so many callers."""
        numbers = iter(range(tasks))

        async def caller() -> None:
            for number in numbers:
                await self.admit(number)

        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(caller)

    async def admit_slowly(self, tasks: int) -> None:
        """Admit a task every 20 ms."""
        for number in range(tasks):
            await self.admit(number)
            await trio.sleep(0.02)


@define
class NothingToDo:
    """Reads its message, counts itself, and ends."""

    services: QueueServices
    store: PlainTaskStore
    seen: Any = field(factory=lambda: count(1))
    done: int = 0
    latencies: list[float] = field(factory=list)

    async def __call__(self, running: RunningTask) -> None:
        """Do it."""
        message = running.claim.message()
        self.latencies.append((time.monotonic_ns() - message.payload["t"]) / 1e6)
        number = next(self.seen)
        body = make_body("task.completed", {"n": number}, tenant_id=TENANT, correlation_id=message.correlation_id)
        end = TaskEnd(TaskStatus.COMPLETED, result=b'{"n":1}', events=[("task.completed", body)])
        if await self.store.finish(running.claim, end, retain_seconds=600):
            await self.services.ready.mark(TENANT)
        self.done += 1


async def _until_empty(stage: Stage, body: NothingToDo, tasks: int) -> None:
    lanes = [("XLEN", stage.keys.lane(TENANT, lane)) for lane in Lane]
    while body.done < tasks or any(await stage.redis.gather(lanes)):  # noqa: ASYNC110 - the end of a queue is no event
        await trio.sleep(0.005)


def _produce(url: str, mode: str, tasks: int) -> partial[Any]:
    command = [sys.executable, "-m", "tests.benchmarks.queue_tasks", "--part", "produce", url, mode, str(tasks)]
    return partial(trio.run_process, command, capture_stdout=True)


async def measure(tasks: int) -> dict[str, float]:
    """Measure once, each phase on a Redis of its own."""
    settings = evolve(SETTINGS, rate_tenant=1e9, rate_user=1e9, queue_length=10**7)
    keep_what_is_there()
    figures: dict[str, float] = {}
    bodies: list[NothingToDo] = []

    def handlers(services: QueueServices, stores: Stores) -> Mapping[str, Any]:
        bodies.append(NothingToDo(services, stores.plain_tasks))
        return {str(NOOP): bodies[-1]}

    for phase in ("drain", "both", "latency", "remote"):
        with tempfile.TemporaryDirectory() as folder:
            async with (
                run_redis(Path(folder), appendonly=False) as server,
                open_stage(server.url, settings, consume=False, handlers=handlers) as stage,
            ):
                await load_scripts(stage.redis)
                body, producer = bodies[-1], Producer.over(stage.redis, stage.queue.ready)
                before = await Traffic.now(stage.redis)
                if phase == "drain":
                    began = time.perf_counter()
                    await producer.admit_all(tasks)
                    figures["admit_per_s"] = tasks / (time.perf_counter() - began)
                    figures |= await before.since(stage.redis, "admit", tasks)
                    before = await Traffic.now(stage.redis)
                async with trio.open_nursery() as nursery:
                    began = time.perf_counter()
                    await nursery.start(stage.consumer.run, stage.stopping)
                    if phase == "drain":
                        await _until_empty(stage, body, tasks)
                        figures["drain_per_s"] = tasks / (time.perf_counter() - began)
                        figures |= await before.since(stage.redis, "drain", tasks)
                    elif phase == "both":
                        await trio.sleep(0.2)
                        told = await nursery.start(_beside, server.url, tasks)
                        await _until_empty(stage, body, tasks)
                        figures["both_per_s"] = tasks / (time.monotonic_ns() / 1e9 - told["began"])
                    else:
                        if phase == "latency":
                            await producer.admit_slowly(200 + WARM_UP)
                        else:
                            await _produce(server.url, "slowly", 200 + WARM_UP)()
                        await trio.sleep(0.1)
                        kept = body.latencies[WARM_UP:]
                        figures[f"{phase}_p50_ms"] = median(kept)
                        figures[f"{phase}_p99_ms"] = quantiles(kept, n=100)[98]
                    nursery.cancel_scope.cancel()
    return figures


async def _beside(url: str, tasks: int, *, task_status: trio.TaskStatus[dict[str, float]]) -> None:
    """Have a process admit tasks; tells when it began, once it is done."""
    done = await _produce(url, "all", tasks)()
    task_status.started(json.loads(done.stdout))


async def produce(url: str, mode: str, tasks: str) -> None:
    """Admit so many tasks, as a process of its own; tells when it began."""
    keep_what_is_there()
    async with open_redis(url) as redis:
        producer = Producer.over(redis)
        await redis.ping()
        began = time.monotonic_ns() / 1e9
        await (producer.admit_all if mode == "all" else producer.admit_slowly)(int(tasks))
        sys.stdout.write(json.dumps({"began": began}))


def measure_peer(command: list[str], peer: str, tasks: int) -> dict[str, float]:
    """Have a peer's script measure it once."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        wanted = ["--runs", "1", "--n", str(tasks), "--phases", "drain,both,latency", "--out", str(out)]
        subprocess.run([*command, "run", "--peers", peer, *wanted], check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])["rows"]
    names = {
        "admit_per_s": "enqueue_per_s",
        "drain_per_s": "drain_per_s",
        "both_per_s": "both_per_s",
        "remote_p50_ms": "lat_p50_ms",
        "remote_p99_ms": "lat_p99_ms",
    }
    return {ours: rows[theirs][0] for ours, theirs in names.items() if theirs in rows}


@asynccontextmanager
async def opened(
    tasks: int = 5000, against: str = "dramatiq,taskiq+results,taskiq", peers: Peers | None = None
) -> AsyncIterator[Round]:
    """Yield what measures ours, and then each of the peers that are there."""
    command = (peers or Peers()).command("queue", "queue_peers.py")

    async def one_round() -> Figures:
        found = dict(await measure(tasks))
        if command is not None:
            for peer in against.split(","):
                figures = await trio.to_thread.run_sync(partial(measure_peer, command, peer, tasks))
                found |= {f"{peer} {name}": value for name, value in figures.items()}
        return found

    yield one_round


def _rows(peer: str, keeps: str, drain: float) -> tuple[Row, ...]:
    beside = f"{peer}, {keeps}"
    return (
        Row("tasks that do nothing, drained a second", beside, "drain_per_s", f"{peer} drain_per_s", at_least(drain)),
        Row(
            "tasks that do nothing, with the producer beside, a second",
            beside,
            "both_per_s",
            f"{peer} both_per_s",
            at_least(drain),
        ),
        Row("from another process to the first line of a task, p50", beside, "remote_p50_ms", f"{peer} remote_p50_ms"),
    )


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        *_rows("dramatiq", "which keeps nothing", 2),
        *_rows("taskiq+results", "which keeps results", 4),
        *_rows("taskiq", "which keeps nothing", 2),
        Row(
            "from admission to the first line of a task, p50", "itself, idle", "latency_p50_ms", None, at_most(1), "ms"
        ),
    ),
    smallest={"tasks": 300},
)

if __name__ == "__main__":
    run(BENCHMARK, produce=produce)
