"""Runs of tools that answer later, and cancels for services whose task has ended before them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from orchestrator.clients.opening import open_clients
from orchestrator.clients.registry import Clients
from orchestrator.codec import encode
from orchestrator.errors import BadGateway, IdempotencyKeyReused, OrchestratorError, PlanTimeout
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task import Task, TaskStatus
from orchestrator.models.tasks.task_updates import ServiceError, TaskComplete, TaskFail
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.queue.tasks.delegation_tasks import cancel_task, tool_run
from orchestrator.queue.tasks.registry import TaskDeps
from orchestrator.queue.worker.consumer import TaskHandler
from orchestrator.services.agents.tool_runs import ToolRunService
from orchestrator.services.core import Core
from orchestrator.services.delegation.delegation_cancels import DelegationCancels
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.store.keys import Keys
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.stores import Stores
from orchestrator.store.tasks.claims import Claim
from orchestrator.telemetry.metrics import Metrics
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.store.desk import RETENTION, Desk, a_task, open_desk
from tests.support.calls import call_context, services_at
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, reply, serve
from tests.telemetry.figures import figure


@define
class Platform:
    """Takes tools on, and is told of cancels."""

    asked: list[Asked] = field(factory=list)
    status: int = 202
    heard: trio.Event = field(factory=trio.Event)

    async def __call__(self, asked: Asked, stream: trio.SocketStream) -> None:
        self.asked.append(asked)
        self.heard.set()
        await reply(stream, {"payload": {"execution_id": "x1", "status": "accepted"}}, self.status)

    @property
    def token(self) -> str:
        """What came with the last request."""
        token: str = self.asked[-1].body["metadata"]["callback_token"]
        return token


@define
class House:
    """A process that runs tools, over a registry that answers later."""

    stage: Stage
    platform: Platform
    runs: ToolRunService
    updates: TaskUpdateService
    ctx: RequestContext = field(factory=context)

    async def start(self, **parameters: Any) -> Task:
        return await self.runs.start(self.ctx, "slow_report", parameters)

    async def until(self, task: Task, *statuses: TaskStatus) -> Task:
        return await eventually(
            f"the task is {' or '.join(statuses)}",
            lambda: self.stage.tasks.get(self.ctx, task.task_id),
            lambda found: found.status in statuses,
        )


@asynccontextmanager
async def open_house(redis_url: str, platform: Platform) -> AsyncIterator[House]:
    async with serve(platform) as url, open_clients(services_at(url, timeout=2)) as clients:

        def handlers(queue: QueueServices, stores: Stores) -> Mapping[str, TaskHandler]:
            deps = TaskDeps(Core.over(SETTINGS, queue.node, stores, clients, Metrics(), KNOWN_KINDS), queue)
            return {str(one.kind): one.handler(deps) for one in (tool_run, cancel_task)}

        async with open_stage(redis_url, handlers=handlers) as stage:
            stores = stage.stores
            yield House(
                stage,
                platform,
                ToolRunService(stores.plain_tasks, stage.tasks, stores.ready, stores.known_tenants, SETTINGS),
                TaskUpdateService(stores.delegations, stores.ready, KNOWN_KINDS),
            )


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, Platform()) as house:
        yield house


async def test_a_run_ends_with_the_result_that_the_registry_reports(house: House) -> None:
    task = await house.start(topic="tides")
    await house.until(task, TaskStatus.WAITING)
    asked = house.platform.asked[-1].body
    assert asked["payload"] == {"tool_id": "slow_report", "parameters": {"topic": "tides"}, "task_id": task.task_id}
    assert asked["metadata"]["task_id"] == task.task_id
    told = {"status": "success", "result": {"report": "Calm."}}
    taken = await house.updates.take(house.ctx, task.task_id, house.platform.token, TaskComplete(told))
    assert taken.accepted
    ended = await house.until(task, TaskStatus.COMPLETED)
    assert ended.result == told
    assert len(house.platform.asked) == 1


async def test_a_bare_result_is_named(house: House) -> None:
    task = await house.start()
    await house.until(task, TaskStatus.WAITING)
    await house.updates.take(house.ctx, task.task_id, house.platform.token, TaskComplete(42))
    assert (await house.until(task, TaskStatus.COMPLETED)).result == {"result": 42}


async def test_a_run_whose_tool_fails_fails_with_the_code_of_the_registry(house: House) -> None:
    task = await house.start()
    await house.until(task, TaskStatus.WAITING)
    failure = TaskFail(ServiceError("TOOL_EXEC_002", "Out of paper."))
    await house.updates.take(house.ctx, task.task_id, house.platform.token, failure)
    error = (await house.until(task, TaskStatus.FAILED)).error
    assert error is not None
    assert (error.code, error.service) == ("ORCH_CONN_002", "tool_registry")
    assert error.details[0].message == "TOOL_EXEC_002: Out of paper."


async def test_a_registry_that_refuses_fails_the_run(redis_url: str) -> None:
    async with open_house(redis_url, Platform(status=422)) as house:
        task = await house.start()
        error = (await house.until(task, TaskStatus.FAILED)).error
        assert error is not None
        assert error.code == "ORCH_CONN_002"


async def test_the_same_idempotency_key_is_the_same_run(redis_url: str) -> None:
    async with open_house(redis_url, Platform()) as house:
        house.ctx = context(idempotency_key="k1")
        first = await house.start(topic="tides")
        assert (await house.start(topic="tides")).task_id == first.task_id
        with pytest.raises(IdempotencyKeyReused):
            await house.start(topic="moons")


async def test_the_same_message_is_the_same_run(redis_url: str) -> None:
    async with open_house(redis_url, Platform()) as house:
        house.ctx = evolve(context(), message_id="m-1")
        first = await house.start(topic="tides")
        assert (await house.start(topic="tides")).task_id == first.task_id


async def test_a_cancel_ends_a_waiting_run_and_a_later_result_changes_nothing(house: House) -> None:
    task = await house.start()
    await house.until(task, TaskStatus.WAITING)
    await house.stage.tasks.cancel(house.ctx, task.task_id)
    taken = await house.updates.take(house.ctx, task.task_id, house.platform.token, TaskComplete(42))
    assert (taken.accepted, taken.status) == (False, TaskStatus.CANCELLED)


@asynccontextmanager
async def cancelling(platform: Platform) -> AsyncIterator[tuple[Clients, ServiceCoordinator]]:
    async with serve(platform) as url, open_clients(services_at(url, timeout=2)) as clients:
        yield clients, ServiceCoordinator()


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("workflow_engine", "/api/v1/workflow/executions/x1/cancel"),
        ("agent_execution", "/api/v1/tasks/x1/cancel"),
    ],
)
@pytest.mark.parametrize("status", [200, 404])
async def test_each_service_is_sent_its_own_kind_of_cancel(
    redis_url: str, service: str, path: str, status: int
) -> None:
    platform = Platform(status=status)
    async with open_desk(redis_url) as desk, cancelling(platform) as (clients, coordinator):
        claim = await desk.begin()
        await desk.delegations.register(claim, "a", service=service, token="t", lifetime_ms=1000)
        await desk.delegations.note_sent(claim, "a", "x1", a_task())
        cancels = DelegationCancels(desk.delegations, clients, coordinator, Metrics())
        assert await cancels.tell(call_context(), claim.task_id) == ["a"]
        assert [asked.path for asked in platform.asked] == [path]


async def _cancelled(desk: Desk, claim: Claim) -> None:
    await desk.cancel(claim)


async def _stopped(desk: Desk, claim: Claim) -> None:
    await desk.tasks.cancel(
        Viewer("acme", "root", sees_whole_tenant=True),
        claim.task_id,
        correlation_id="c",
        status_template=b"{}",
        state_body=b"{}",
        retention=RETENTION,
    )


async def _over(desk: Desk, claim: Claim) -> None:
    await desk.redis.hset(
        Keys().task("acme", claim.task_id),
        mapping={"status": "cancelled", "cancel": "cancelled", "cancelled_by": "system"},
    )


async def _failed(desk: Desk, claim: Claim, error: OrchestratorError) -> None:
    await desk.redis.hset(
        Keys().task("acme", claim.task_id), mapping={"status": "failed", "error": encode(error.body())}
    )


CAUSES: dict[str, tuple[Callable[[Desk, Claim], Awaitable[None]], str, str]] = {
    "user": (_cancelled, "user_requested", "the user asked for it"),
    "operator": (_stopped, "system", "an operator has stopped it"),
    "session": (_over, "system", "the task has ended"),
    "time": (partial(_failed, error=PlanTimeout("Late.")), "timeout", "its time was over"),
    "failure": (partial(_failed, error=BadGateway("No.")), "error", "the task has failed"),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("service", ["workflow_engine", "agent_execution"])
async def test_a_cancel_says_what_has_ended_the_task(redis_url: str, service: str, cause: str) -> None:
    end, code, words = CAUSES[cause]
    platform = Platform()
    async with open_desk(redis_url) as desk, cancelling(platform) as (clients, coordinator):
        claim = await desk.begin()
        await desk.delegations.register(claim, "a", service=service, token="t", lifetime_ms=60_000)
        await desk.delegations.note_sent(claim, "a", "x1", a_task())
        await desk.park(claim)
        await end(desk, claim)
        await DelegationCancels(desk.delegations, clients, coordinator, Metrics()).tell(call_context(), claim.task_id)
    [told] = platform.asked
    assert (told.body["metadata"]["reason_code"], told.body["payload"]["reason"]) == (code, words)


async def test_a_service_that_is_away_does_not_keep_others_from_their_cancels(redis_url: str) -> None:
    platform, metrics = Platform(status=400), Metrics()
    async with open_desk(redis_url) as desk, cancelling(platform) as (clients, coordinator):
        claim = await desk.begin()
        for call_id, service in (("a", "workflow_engine"), ("b", "agent_execution")):
            await desk.delegations.register(claim, call_id, service=service, token=call_id, lifetime_ms=1000)
            await desk.delegations.note_sent(claim, call_id, "x1", a_task())
        cancels = DelegationCancels(desk.delegations, clients, coordinator, metrics)
        with pytest.raises(OrchestratorError):
            await cancels.tell(call_context(), claim.task_id)
        assert len(platform.asked) == 2
    assert figure(metrics, "delegation_cancels_total", service="workflow_engine", outcome="failed") == 1


async def test_services_that_are_done_get_no_cancel(redis_url: str) -> None:
    platform = Platform()
    async with open_desk(redis_url) as desk, cancelling(platform) as (clients, coordinator):
        claim = await desk.begin()
        await desk.register(claim)
        await desk.delegations.note_sent(claim, "a", "x1", a_task())
        await desk.answer(claim)
        cancels = DelegationCancels(desk.delegations, clients, coordinator, Metrics())
        assert await cancels.tell(call_context(), claim.task_id) == []
    assert platform.asked == []
