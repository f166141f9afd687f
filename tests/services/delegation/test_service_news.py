"""News of services that come before it is noted what they are of."""

from typing import Any

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from orchestrator.errors import NotFound
from orchestrator.models.tasks.task_updates import ServiceNews, TaskComplete
from orchestrator.services.delegation.service_news import ServiceNewsService
from orchestrator.store.plans.delegations import OpenCall, TokenDigest
from tests.queue.stage import context

NEWS = ServiceNews(service="tool_registry", task_ids=["t1"], execution_id="", correlation_id="", update=TaskComplete(1))


class _Calls:
    """The calls of one task, which is there: it notes one at the `noted`-th look."""

    def __init__(self, noted: int) -> None:
        self.noted = noted
        self.looks = 0

    async def calls_of(self, *_: Any) -> list[OpenCall]:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        return [OpenCall("a", "", TokenDigest("x"), ended=False)] if self.looks >= self.noted else []


class _Taken:
    async def take(self, *told: Any) -> Any:
        return told[1:3]


async def test_news_wait_a_moment_for_their_call(autojump_clock: MockClock) -> None:
    calls: Any = _Calls(noted=3)
    taken: Any = _Taken()
    told: Any = await ServiceNewsService(calls, taken).take(context(), NEWS)
    assert told == ("t1", "x")
    assert trio.current_time() < 0.1


async def test_news_of_what_was_not_handed_on_are_looked_up_few_times(autojump_clock: MockClock) -> None:
    calls: Any = _Calls(noted=1000)
    taken: Any = _Taken()
    with pytest.raises(NotFound):
        await ServiceNewsService(calls, taken).take(context(), NEWS)
    assert 1 <= trio.current_time() < 1.5
    assert calls.looks < 10


class _Executions(_Calls):
    """The calls of a task whose execution is noted with its call: until then, nothing of that name is known."""

    async def calls_of(self, tenant_id: str, task_id: str, service: str) -> Any:
        return await super().calls_of() if task_id == "t1" else None

    async def task_of_execution(self, *_: Any) -> str | None:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        return "t1" if self.looks >= self.noted else None


async def test_news_by_the_name_that_a_service_has_just_given_wait_a_moment_too(autojump_clock: MockClock) -> None:
    news = evolve(NEWS, task_ids=[], execution_id="e1")
    calls: Any = _Executions(noted=3)
    taken: Any = _Taken()
    told: Any = await ServiceNewsService(calls, taken).take(context(), news)
    assert told == ("t1", "x")
    none: Any = _Executions(noted=1000)
    with pytest.raises(NotFound):
        await ServiceNewsService(none, taken).take(context(), news)
    assert trio.current_time() < 0.5
