"""One tenant's damaged keys: reported, and no other tenant waits for them."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Final

import pytest
import trio
from attrs import evolve, frozen
from structlog.testing import capture_logs

from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.worker.sweeper import Sweeper
from orchestrator.store.keys import Keys
from tests.queue.stage import SETTINGS, Stage, context, open_stage

_STRINGS: Final = {"tenant_limit", "start_limit"}
_SHARED: Final = sorted(
    name
    for name, member in vars(Keys).items()
    if callable(member) and [*signature(member).parameters] == ["self", "tenant_id"] and name != "tenant"
)
"""The keys of which a tenant has one each."""
_SWEPT: Final = {"sessions", "cursors", "delayed", "schedules_due", "tenant_config", *Lane}
"""Those that the sweep reads, in one pipeline."""


@frozen
class Rounds:
    """Counts the rounds of the sweep."""

    stage: Stage
    ended: list[Mapping[str, Any]]

    async def pass_by(self, count: int = 2) -> None:
        """Wait until the sweep has been everywhere so many times."""
        seen = len(self.ended)
        with trio.fail_after(10):
            while len(self.ended) < seen + count:
                await self.stage.redis.ping()


def counted(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> Rounds:
    ended: list[Mapping[str, Any]] = []
    show = Sweeper._show

    def count(self: Sweeper, found: Mapping[str, Any]) -> None:
        show(self, found)
        ended.append(found)

    monkeypatch.setattr(Sweeper, "_show", count)
    return Rounds(stage, ended)


async def damage(stage: Stage, key: str, *, string: bool = False) -> None:
    """Put something of the wrong type in the place of a key."""
    # In one go: a record that is missing for a moment would be a lost task.
    await stage.redis.gather([("DEL", key), ("RPUSH", key, "damaged")] if string else [("SET", key, "damaged")])


async def goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch, key_of: Callable[[str, str], str], **how: Any) -> Any:
    """Damage a key of a tenant that has work in hand; the other one's work must go on all the while."""
    monkeypatch.setattr("orchestrator.queue.worker.sweeper._EVERY", 0.01)
    rounds = counted(monkeypatch, stage)
    hers, his = await stage.session(), await stage.session(context("globex"))
    held = await stage.say(hers, "hold a")
    await stage.turns.running.wait()
    with capture_logs() as logs:
        await damage(stage, key_of(hers.session_id, held.task_id), **how)
        await stage.queue.ready.mark("acme")
        await stage.queue.due.mark_in("acme", 0)
        await stage.redis.publish(stage.keys.cancel_channel, held.task_id)
        await rounds.pass_by()
        assert (await stage.ended(his, await stage.say(his, "say b"))).status is TaskStatus.COMPLETED
        stage.turns.release.set()
        await rounds.pass_by()
        assert (await stage.ended(his, await stage.say(his, "say c"))).status is TaskStatus.COMPLETED
    assert stage.consumer.alive
    assert "globex" in rounds.ended[-1]
    reported = [entry for entry in logs if entry["event"] == "tenant.damaged"]
    assert {entry["tenant_id"] for entry in reported} <= {"acme"}
    return reported


@pytest.mark.parametrize("name", [*_SHARED, *Lane])
async def test_each_key_of_a_tenant_may_be_damaged_and_the_others_work_goes_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, lease=0.1)) as stage:

        def key_of(session_id: str, task_id: str) -> str:
            if isinstance(name, Lane):
                return stage.keys.lane("acme", name)
            key: str = getattr(stage.keys, name)("acme")
            return key

        reported = await goes_on(stage, monkeypatch, key_of, string=name in _STRINGS)
    if name in _SWEPT:
        assert any("WRONGTYPE" in entry["error"] for entry in reported)


@pytest.mark.parametrize("name", ["task", "session", "events", "turns"])
async def test_the_records_of_a_task_in_hand_may_be_damaged_and_the_others_work_goes_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, lease=0.1)) as stage:

        def key_of(session_id: str, task_id: str) -> str:
            key: str = getattr(stage.keys, name)("acme", task_id if name == "task" else session_id)
            return key

        await goes_on(stage, monkeypatch, key_of)
