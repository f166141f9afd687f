"""Leases: an attempt that has lost its own is stopped, and no other."""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen

from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.worker.importer import Importer
from orchestrator.queue.worker.leases import Leases
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.queue.worker.slots import Slots
from orchestrator.store.tasks.claims import Claim
from tests.queue.stage import Stage, open_stage


@frozen
class Attempts:
    """Two attempts at the same task, the second one current."""

    stage: Stage
    first: Claim
    second: Claim

    async def renew(self, running: RunningTask, claims: list[Claim]) -> None:
        """Renew as a keeper does that began with `claims`, while `hand` is what the process has by then."""
        queue = self.stage.queue
        leases = Leases(
            queue,
            {running.claim.task_id: running},
            lambda *_: None,
            LoadReporter(queue.node, Slots(1, adaptive=False)),
            Importer(queue),
        )
        await leases._renew_tenant("acme", claims)


@pytest.fixture
async def attempts(redis_url: str) -> AsyncIterator[Attempts]:
    async with open_stage(redis_url, consume=False) as stage:
        await stage.say(await stage.session(), "say a")
        tasks, node = stage.queue.tasks, stage.queue.node
        [first] = (await tasks.claim("acme", node, 1)).claims
        await tasks.hand_back(first)
        [second] = (await tasks.claim("acme", node, 1)).claims
        yield Attempts(stage, first, second)


async def test_a_renewal_that_comes_too_late_does_not_stop_a_newer_attempt_of_the_same_process(
    attempts: Attempts,
) -> None:
    newer = RunningTask(attempts.second)
    await attempts.renew(newer, [attempts.first])
    assert newer.reason is None
    assert not newer.scope.cancel_called


async def test_an_attempt_whose_lease_is_lost_is_stopped(attempts: Attempts) -> None:
    older = RunningTask(attempts.first)
    await attempts.renew(older, [attempts.first])
    assert older.reason is StopReason.LOST


async def test_an_attempt_that_holds_its_lease_goes_on(attempts: Attempts) -> None:
    running = RunningTask(attempts.second)
    await attempts.renew(running, [attempts.second])
    assert running.reason is None
