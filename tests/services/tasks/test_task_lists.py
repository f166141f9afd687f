"""Lists of tasks: what is chosen is found without reading the others."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.shared.paging import Period
from orchestrator.services.tasks.tasks import TaskFilter
from tests.queue.stage import Stage, context, open_stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


async def found(stage: Stage, **wanted: Any) -> list[str]:
    """Return the ids of the tasks that a filter takes, of all pages."""
    ids: list[str] = []
    cursor = None
    while True:
        page = await stage.tasks.list(context(), TaskFilter(**wanted), cursor=cursor, limit=2)
        ids += [task.task_id for task in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def test_tasks_that_failed_are_found_by_status_and_code_without_a_look_at_the_others(stage: Stage) -> None:
    session = await stage.session()
    turns = [await stage.say(session, "fail" if number % 3 == 0 else f"say {number}") for number in range(7)]
    for turn in turns:
        await stage.ended(session, turn)
    failed = [turns[number].task_id for number in (6, 3, 0)]
    assert await found(stage, status=TaskStatus.FAILED) == failed
    assert await found(stage, status=TaskStatus.FAILED, error_code="ORCH_CONN_002") == failed
    assert await found(stage, error_code="ORCH_CONN_001") == []
    places = await stage.tasks.store.page("acme", before=None, count=100, status=TaskStatus.FAILED)
    assert [name for _, name in places] == failed


async def test_tasks_that_ended_before_there_was_an_index_are_in_it(stage: Stage) -> None:
    session = await stage.session()
    for content in ("fail", "say a"):
        await stage.ended(session, await stage.say(session, content))
    await stage.redis.delete(stage.keys.ended_index("acme", "failed"), stage.keys.ended_indexed("acme"))
    [failed] = await found(stage, status=TaskStatus.FAILED)
    assert await stage.redis.zscore(stage.keys.ended_index("acme", "failed"), failed)


async def test_live_tasks_are_found_where_they_stand(stage: Stage) -> None:
    session, other = await stage.session(), await stage.session()
    running = await stage.say(session, "hold a")
    behind = await stage.say(session, "say b")
    await stage.turns.running.wait()
    waiting = await stage.say(other, "tool")
    await stage.becomes(other, waiting, TaskStatus.WAITING)
    assert await found(stage, status=TaskStatus.PROCESSING) == [running.task_id]
    assert await found(stage, status=TaskStatus.PENDING) == [behind.task_id]
    assert await found(stage, status=TaskStatus.WAITING) == [waiting.task_id]
    stage.turns.release.set()
    await stage.ended(session, behind)


async def test_a_period_bounds_the_list_and_a_single_task_shows_what_was_asked(stage: Stage) -> None:
    session = await stage.session()
    turn = await stage.say(session, "say a")
    task = await stage.ended(session, turn)
    assert await found(stage, period=Period(since=task.created_at)) == [turn.task_id]
    assert await found(stage, period=Period(until=task.created_at)) == []
    assert await found(stage, period=Period(since=to_timestamp(2**42))) == []
    assert ((await stage.tasks.get(context(), turn.task_id)).input or {})["content"] == "say a"
