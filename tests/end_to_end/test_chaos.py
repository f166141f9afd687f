"""Processes and Redis that die at random under load: state is consistent, nothing lost, done twice or out of order.

`CHAOS_TASKS=10000` makes the run long, `CHAOS_SEED` repeats one. The seed and what was done are printed.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Final

import httpx
import orjson
import pytest
import trio
from attrs import define, field, frozen

from orchestrator.models.common.ids import new_id
from orchestrator.models.operations.consistency import Place
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.gateway.reservation_checks import ReservationChecks
from orchestrator.store.keys import Keys
from orchestrator.store.operations.consistency import ConsistencyStore
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from tests.end_to_end.stack import Node, Stack, open_stack
from tests.support.eventually import eventually
from tests.support.http import loopback_client

TASKS: Final = int(os.environ.get("CHAOS_TASKS", "320"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "20260101"))
PROCESSES: Final = 3
KINDS: Final = ("fault", "kill", "redis", "term", "kill")
"""What happens, each as often as it stands here, in an order of chance."""
SESSIONS: Final = max(16, TASKS // 100)
LOG_LENGTH: Final = 100_000
ENDS: Final = {"completed", "failed", "cancelled", "interrupted"}
ACCEPT_SECONDS: Final = 60.0 + TASKS / 10
CALM_SECONDS: Final = 60.0 + TASKS / 50


@frozen
class Turn:
    """A message that was accepted."""

    task_id: str
    message_id: str
    correlation_id: str


@define(eq=False)
class Chaos:
    """Three processes, and everything that happens to them."""

    stack: Stack
    random: Random
    alive: list[Node] = field(factory=list)
    due: list[str] = field(factory=list)
    done: list[str] = field(factory=list)
    turns: dict[str, list[Turn]] = field(factory=dict)

    async def start(self) -> None:
        """Start a process."""
        self.alive.append(await self.stack.start(event_log_length=str(LOG_LENGTH), lease="3", task_retry_delay="0.2"))

    async def disturb(self) -> None:
        """Do something bad at random, and make it good."""
        if not self.due:
            self.due = self.random.sample(KINDS, len(KINDS))
        kind = self.due.pop()
        self.done.append(kind)
        if kind == "redis":
            await self.stack.redis.kill()
            await trio.sleep(self.random.uniform(0, 0.5))
            await self.stack.redis.start()
        elif kind == "fault":
            what = self.random.choice([InjectedFaultKind.ERROR, InjectedFaultKind.CUT, InjectedFaultKind.GARBAGE])
            self.stack.sandbox.faults.add(InjectedFault(what, service="agent_execution", status=503, count=3))
        else:
            node = self.alive.pop(self.random.randrange(len(self.alive)))
            if kind == "kill":
                await node.kill()
            else:
                assert await node.stop() == 0
            await self.start()

    async def speak(self, session_id: str, count: int, client: httpx.AsyncClient, random: Random) -> None:
        """Send messages, each until it is accepted."""
        self.turns[session_id] = []
        for _ in range(count):
            words = f"echo {random.randint(2, 15)} words every {random.randint(1, 30)} ms"
            self.turns[session_id].append(await self.send(session_id, words, client, random))
            await trio.sleep(random.uniform(0, 0.8))

    async def send(self, session_id: str, content: str, client: httpx.AsyncClient, random: Random) -> Turn:
        """Send a message to any process until one accepts it; with its key it is accepted once."""
        headers = {"Idempotency-Key": new_id(), "X-Correlation-ID": new_id()}
        body = {"session_id": session_id, "content": content}
        while True:
            try:
                url = f"{random.choice(self.alive).url}/api/v1/chat.message"
                answer = await client.post(url, json=body, headers=headers)
            except (httpx.TransportError, IndexError):
                await trio.sleep(0.1)
                continue
            if answer.status_code == 202:
                data = answer.json()["data"]
                return Turn(data["task_id"], data["message_id"], headers["X-Correlation-ID"])
            assert answer.status_code in {429, 503}, answer.text
            await trio.sleep(0.1)


@pytest.fixture
async def chaos(tmp_path: Path) -> AsyncIterator[Chaos]:
    async with open_stack(tmp_path) as stack:
        chaos = Chaos(stack, Random(SEED))
        async with trio.open_nursery() as nursery:
            for _ in range(PROCESSES):
                nursery.start_soon(chaos.start)
        yield chaos


async def all_ended(consistency_checker: ConsistencyChecker) -> Report:
    """Wait until every task has ended; returns the books."""
    return await eventually(
        "every task has ended, and the books balance",
        lambda: consistency_checker.audit("acme"),
        lambda report: report.balances and set(report.places) <= {Place.FINISHED, Place.DEAD},
        within=CALM_SECONDS,
    )


async def ends_in_order(redis: Redis, keys: Keys, session_id: str) -> list[str]:
    """Return the messages of a session as they ended, one for each end that clients were told of."""
    ended = []
    for _, fields in await redis.xrange(keys.events("acme", session_id)):
        if fields[b"n"] == b"chat.status_update":
            data = orjson.loads(fields[b"b"])["data"]
            if data["status"] in ENDS:
                ended.append(data["message_id"])
    return ended


async def times_finished(redis: Redis, keys: Keys, turn: Turn) -> int:
    """Return how often a turn was finished, by its steps."""
    steps = await redis.hget(keys.task("acme", turn.task_id), "steps")
    return sum(line.split(b"\t")[1] == b"finished" for line in steps.split(b"\n"))


# A request that breaks off while it is sent leaves the client's own generator behind, which trio warns of.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
async def test_whatever_dies_state_is_consistent_and_every_turn_ends_once_and_in_order(chaos: Chaos) -> None:
    token = chaos.stack.token()
    sessions = [await chaos.stack.session() for _ in range(SESSIONS)]
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        loopback_client(headers=headers, timeout=10) as client,
        trio.open_nursery() as nursery,
    ):
        with trio.fail_after(ACCEPT_SECONDS):
            async with trio.open_nursery() as speakers:
                for number, session_id in enumerate(sessions):
                    count = TASKS * (number + 1) // SESSIONS - TASKS * number // SESSIONS
                    own = Random(SEED + number)
                    speakers.start_soon(chaos.speak, session_id, count, client, own)
                while len(speakers.child_tasks) > 0:
                    await chaos.disturb()
                    await trio.sleep(chaos.random.uniform(0.2, 1.0))
        nursery.cancel_scope.cancel()
    assert [node.process.poll() for node in chaos.alive] == [None] * PROCESSES, "a process ended by itself"
    print(f"seed {SEED}: {TASKS} turns, {' '.join(chaos.done)}")  # noqa: T201 - a failed run is repeated by this
    chaos.stack.sandbox.faults.clear()

    keys = Keys()
    async with open_redis(chaos.stack.redis.url) as redis:
        stores = (redis, keys, LOG_LENGTH)
        consistency_checker = ConsistencyChecker(
            ConsistencyStore(*stores), ReservationChecks(*stores), ReadyTenants(redis, keys), DueTenants(redis, keys)
        )
        audit = await all_ended(consistency_checker)
        assert sum(audit.places.values()) == audit.tasks == TASKS
        for session_id, turns in chaos.turns.items():
            assert await ends_in_order(redis, keys, session_id) == [turn.message_id for turn in turns]
            for turn in turns:
                assert await times_finished(redis, keys, turn) == 1
