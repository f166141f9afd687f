"""Whatever happens to processes and Redis: state is consistent, nothing is lost untold, done twice or out of order.

`CHAOS_TASKS=5000` makes the run long, `CHAOS_SEED` repeats one, and `CHAOS_KINDS=kill,term,refuse` takes some kinds of
`tests/end_to_end/chaos.py` instead of all. The seed and what was done are printed.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Final

import orjson
import pytest
import trio

from orchestrator.models.operations.consistency import Place
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.consistency.consistency import ConsistencyStore
from orchestrator.store.contents import Contents
from orchestrator.store.events.events import EventLog
from orchestrator.store.gateway.reservation_checks import ReservationChecks
from orchestrator.store.redis.connection import Redis
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from tests.end_to_end.chaos import (
    KEYS,
    LOG_LENGTH,
    OF_PROCESSES,
    OF_REDIS,
    PROCESSES,
    TENANT,
    Chaos,
    Turn,
    disturb,
    open_chaos,
    times_finished,
)
from tests.support.eventually import eventually
from tests.support.http import loopback_client
from tests.support.settable_clock import SettableClock

TASKS: Final = int(os.environ.get("CHAOS_TASKS", "120"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "20260101"))
KINDS: Final = os.environ.get("CHAOS_KINDS", ",".join((*OF_PROCESSES, *OF_REDIS))).split(",")
SESSIONS: Final = max(16, TASKS // 150)
WATCHED: Final = 4
ENDS: Final = {"completed", "failed", "cancelled", "interrupted"}
ACCEPT_SECONDS: Final = 90.0 + TASKS / 5
CALM_SECONDS: Final = 60.0 + TASKS / 50


@pytest.fixture
async def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chaos]:
    clock = SettableClock.make(tmp_path / "clock")
    if clock is None:
        monkeypatch.delitem(OF_REDIS, "step_clock")
    else:
        monkeypatch.setenv("PATH", f"{clock.folder}{os.pathsep}{os.environ['PATH']}")
    async with open_chaos(tmp_path, SEED, clock) as chaos:
        yield chaos


async def all_ended(consistency_checker: ConsistencyChecker, *, repairing: bool) -> Report:
    """Wait until every task has ended; returns the books."""

    async def audit() -> Report:
        report = await consistency_checker.audit(TENANT)
        if report.faults and repairing:
            await consistency_checker.repair(report)
        return report

    return await eventually(
        "every task has ended, and the books balance",
        audit,
        lambda report: report.balances and set(report.places) <= {Place.FINISHED, Place.DEAD},
        within=CALM_SECONDS,
    )


async def ends_in_order(redis: Redis, session_id: str) -> list[str]:
    """Return the messages of a session as they ended, one for each end that clients were told of."""
    ended = []
    for event in await EventLog(redis, KEYS).read(TENANT, session_id, after=0, limit=100_000):
        if event.name == "chat.status_update":
            data = orjson.loads(event.body)["data"]
            if data["status"] in ENDS:
                ended.append(data["message_id"])
    return ended


async def is_told_lost(chaos: Chaos, turn: Turn) -> bool:
    """Tell whether a client that asks for a task is told that it is not there."""
    async with chaos.stack.client() as client:
        return (await client.get(f"{chaos.alive[0].url}/api/v1/task.status/{turn.task_id}")).status_code == 404


async def dead_letters(redis: Redis) -> set[str]:
    """Return the tasks that are dead letters."""
    return {fields.get(b"task_id", b"").decode() for _, fields in await redis.xrange(KEYS.dead_letters(TENANT))}


# A request that breaks off while it is sent leaves the client's own generator behind, which trio warns of.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
async def test_whatever_happens_state_is_consistent_and_every_turn_ends_once_and_in_order(chaos: Chaos) -> None:
    headers = {"Authorization": f"Bearer {chaos.stack.token()}"}
    async with loopback_client(headers=headers, timeout=10) as client, trio.open_nursery() as nursery:
        with trio.fail_after(ACCEPT_SECONDS):
            async with trio.open_nursery() as disturbing:
                async with trio.open_nursery() as speakers:
                    for number in range(SESSIONS):
                        count = TASKS * (number + 1) // SESSIONS - TASKS * number // SESSIONS
                        own = Random(SEED + number)
                        speakers.start_soon(chaos.speak, count, client, own, number < WATCHED)
                    over = trio.Event()
                    for kinds in (OF_PROCESSES, OF_REDIS):
                        disturbing.start_soon(disturb, chaos, kinds, KINDS, SEED, over.is_set)
                over.set()
        nursery.cancel_scope.cancel()
    emptied = sum(len(chaos.turns[session_id]) for session_id in chaos.lost_sessions)
    told = [
        f"seed {SEED}: {TASKS} turns, {' '.join(chaos.done)}",
        f"{chaos.proxy.refused} commands refused, {chaos.proxy.lost} replies lost",
        f"{len(chaos.damaged)} records damaged, {emptied} turns were there when Redis was emptied",
    ]
    print("\n".join(told))  # noqa: T201 - a failed run is repeated by this
    assert [node.process.poll() for node in chaos.alive] == [None] * PROCESSES, "a process ended by itself"
    chaos.stack.sandbox.faults.clear()

    redis = chaos.operator
    stores = (redis, KEYS, LOG_LENGTH)
    consistency_checker = ConsistencyChecker(
        ConsistencyStore(*stores), ReservationChecks(*stores), ReadyTenants(redis, KEYS), DueTenants(redis, KEYS)
    )
    await all_ended(consistency_checker, repairing=bool(chaos.damaged))
    dead = await dead_letters(redis)
    for session_id, turns in chaos.turns.items():
        if session_id in chaos.lost_sessions:
            for turn in turns:
                assert chaos.lost.get(turn.task_id, 0) <= 1
                assert await is_told_lost(chaos, turn)
            continue
        sound = [turn for turn in turns if turn.task_id not in chaos.damaged]
        if session_id not in chaos.damaged:
            broken = {turn.message_id for turn in turns if turn.task_id in chaos.damaged}
            ended = await ends_in_order(redis, session_id)
            assert [one for one in ended if one not in broken] == [turn.message_id for turn in sound]
        for turn in sound:
            record = await redis.hgetall(KEYS.task(TENANT, turn.task_id))
            steps = Contents().open_record(TENANT, "task", record)[b"steps"]
            assert times_finished(steps) == 1 or (session_id in chaos.damaged and turn.task_id in dead), turn
        for turn in turns:
            if turn.task_id in chaos.damaged and turn.task_id not in dead:
                assert await redis.hget(KEYS.task(TENANT, turn.task_id), "status") in {b"completed", b"failed"}
    assert [
        fault for watcher in chaos.watchers if watcher.session_id not in chaos.damaged for fault in watcher.faults
    ] == []
