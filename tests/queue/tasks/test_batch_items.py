"""Batches: created whole or not at all, run a few at a time, and ended once, whatever happens to the processes."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest
import trio
from attrs import evolve, frozen

from orchestrator.codec import structure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import (
    IdempotencyKeyReused,
    InvalidBody,
    InvalidParameter,
    NotFound,
    OrchestratorError,
    QueueFull,
    ServiceUnreachable,
    TenantDraining,
    Unprocessable,
)
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.principal import RequestContext, Role
from orchestrator.models.common.timestamps import from_timestamp, now_ms
from orchestrator.models.tasks.batch import (
    Batch,
    BatchCreate,
    BatchItem,
    BatchProgress,
    BatchStatus,
    ItemResult,
    OnItemError,
)
from orchestrator.models.tasks.task import CancelledBy, Lane, TaskStatus
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.services.scheduling.batches import BatchService
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.scheduling.batches import BatchStore
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import eventually

OPERATOR = context(user="root", role=Role.ADMIN)
ENDED = {BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.FAILED, BatchStatus.CANCELLED}


class Agents:
    """Knows one agent, and can't tell of another."""

    async def look(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        if agent_id == "away":
            raise ServiceUnreachable("Agent Management is away.")
        if agent_id != "echo":
            raise NotFound(f"There is no agent {agent_id!r}.")
        return AgentConfig("echo", "1", "Echo")


class Workflows:
    """Knows the workflow `arithmetic`."""

    async def must_exist(self, ctx: RequestContext, workflow_id: str) -> None:
        if workflow_id != "arithmetic":
            raise NotFound(f"There is no workflow {workflow_id}.")


@frozen
class Batches:
    """A process with batches."""

    stage: Stage
    service: BatchService

    async def create(self, contents: Sequence[str], ctx: RequestContext | None = None, **fields: Any) -> Batch:
        """Create a batch of these contents."""
        items = [BatchItem(content, metadata={"n": number}) for number, content in enumerate(contents)]
        batch, _ = await self.service.create(ctx or context(), BatchCreate(items, "echo", **fields))
        return batch

    async def ended(self, batch: Batch) -> Batch:
        """Wait until a batch has ended, by its events."""
        return await self.reaches(batch, lambda now: now.status in ENDED)

    async def reaches(self, batch: Batch, reached: Callable[[Batch], bool]) -> Batch:
        """Wait until a batch is as wanted; its counts add up at every moment."""

        async def read() -> Batch:
            now = await self.service.get(context(), batch.batch_id)
            assert now.pending + now.running + now.completed + now.failed + now.cancelled == now.total
            return now

        return await eventually("the batch is as wanted", read, reached)

    async def results(self, batch: Batch, limit: int = 50, status: TaskStatus | None = None) -> list[ItemResult]:
        """Read all pages of results."""
        found: list[ItemResult] = []
        cursor = None
        while True:
            page = await self.service.results(context(), batch.batch_id, status=status, cursor=cursor, limit=limit)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def progress(self, batch: Batch) -> list[BatchProgress]:
        """Return everything that was told of a batch."""
        keys, redis = self.stage.keys, self.stage.redis
        entries = await redis.xrange(f"{keys.batch(batch.tenant_id, batch.batch_id)}:events")
        assert [entry for entry, _ in entries] == [f"0-{number + 1}".encode() for number in range(len(entries))]
        bodies = [orjson.loads(fields[b"b"]) for _, fields in entries]
        assert len({body["message_id"] for body in bodies}) == len(bodies)
        assert all(abs(from_timestamp(body["created_at"]) - now_ms()) < 60_000 for body in bodies)
        return [structure(body["data"], BatchProgress) for body in bodies]

    async def queue_is_empty(self) -> bool:
        """Tell whether nothing of the tenant is left behind."""
        keys, redis = self.stage.keys, self.stage.redis
        lanes = [await redis.xlen(keys.lane("acme", lane)) for lane in Lane]
        return not any(lanes) and not await redis.exists(keys.batches_waiting("acme"))


@asynccontextmanager
async def open_batches(
    redis_url: str, settings: AgentOrchestratorSettings = SETTINGS, **fields: Any
) -> AsyncIterator[Batches]:
    async with open_stage(redis_url, settings, **fields) as stage:
        store = BatchStore(stage.redis, stage.keys, settings.event_log_length, LimitDefaults.of(settings))
        yield Batches(stage, BatchService(store, stage.queue.ready, Agents(), settings, Workflows(), stage.queue.due))


@pytest.fixture
async def batches(redis_url: str) -> AsyncIterator[Batches]:
    async with open_batches(redis_url) as batches:
        yield batches


async def test_every_item_is_answered_once_and_the_results_stand_in_the_order_of_the_items(batches: Batches) -> None:
    batch = await batches.create([f"say {number}" for number in range(60)], max_concurrency=7)
    assert (batch.status, batch.total, batch.pending + batch.running + batch.completed) == ("running", 60, 60)
    ended = await batches.ended(batch)
    assert (ended.status, ended.completed, ended.failed, ended.cancelled) == (BatchStatus.COMPLETED, 60, 0, 0)
    assert ended.finished_at is not None
    results = await batches.results(batch, limit=7)
    assert [item.index for item in results] == list(range(60))
    assert [item.metadata for item in results] == [{"n": number} for number in range(60)]
    assert [item.result["content"] for item in results if item.result] == [str(number) for number in range(60)]
    assert Counter(batches.stage.turns.ended) == Counter(f"say {number}" for number in range(60))
    assert await batches.queue_is_empty()


async def test_items_start_in_their_order_and_no_more_than_wanted_are_in_the_queue(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        await batches.create([f"say {number}" for number in range(20)], max_concurrency=3)
        stage, begun = batches.stage, []
        for _ in range(20):
            assert await stage.redis.xlen(stage.keys.lane("acme", Lane.LOW)) <= 3
            [claim] = (await stage.queue.tasks.claim("acme", stage.queue.node, 1)).claims
            begun.append(claim.message().payload["content"])
            await stage.consumer.handler(RunningTask(claim))
        assert begun == [f"say {number}" for number in range(20)]
        assert await batches.queue_is_empty()


async def test_items_that_are_no_tasks_yet_are_counted_in_the_backlog(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        for _ in range(2):
            await batches.create([f"say {number}" for number in range(20)], max_concurrency=3)
        tenant = (await batches.stage.stores.tenants.read("acme")).tenant
        assert (tenant.backlog, tenant.queued, tenant.batch_items, tenant.depth.low) == (40, 6, 34, 6)


async def test_an_item_that_fails_does_not_stop_the_others(batches: Batches) -> None:
    batch = await batches.create(["say a", "fail", "say b", "fail"])
    ended = await batches.ended(batch)
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.PARTIAL, 2, 2)
    failed = await batches.results(batch, status=TaskStatus.FAILED)
    assert [(item.index, item.error.code if item.error else "") for item in failed] == [
        (1, "ORCH_CONN_002"),
        (3, "ORCH_CONN_002"),
    ]
    assert await batches.stage.redis.xlen(batches.stage.keys.dead_letters("acme")) == 2


async def test_an_item_is_retried_after_a_transient_failure_before_it_counts(redis_url: str) -> None:
    settings = evolve(SETTINGS, task_retries=2, task_retry_delay=0.01)
    async with open_batches(redis_url, settings) as batches:
        batches.stage.turns.failures = [ServiceUnreachable("away"), ServiceUnreachable("away")]
        ended = await batches.ended(await batches.create(["flaky a"]))
        assert (ended.completed, ended.failed) == (1, 0)
        assert len(batches.stage.turns.attempts) == 3


async def test_a_batch_without_any_success_has_failed(batches: Batches) -> None:
    assert (await batches.ended(await batches.create(["fail", "fail"]))).status is BatchStatus.FAILED


async def test_abort_stops_what_runs_and_what_has_not_started(batches: Batches) -> None:
    batch = await batches.create(
        ["hold a", "fail", *["say x"] * 50], max_concurrency=2, on_item_error=OnItemError.ABORT
    )
    ended = await batches.ended(batch)
    assert (ended.status, ended.failed, ended.cancelled) == (BatchStatus.FAILED, 1, 51)
    assert (ended.cancelled_by, batches.stage.turns.stopped_by) == (None, [CancelledBy.SYSTEM])
    results = await batches.results(batch)
    assert [item.status for item in results] == ["cancelled", "failed", *["cancelled"] * 50]
    assert batches.stage.turns.ended == []
    assert await batches.queue_is_empty()


async def test_cancelling_stops_what_runs_and_what_has_not_started_and_may_be_repeated(batches: Batches) -> None:
    batch = await batches.create(["say a", "hold b", "hold c", *["say x"] * 50], max_concurrency=2)
    await batches.reaches(batch, lambda now: now.completed == 1 and now.running == 2)
    assert (await batches.service.cancel(context(), batch.batch_id)).cancelled
    assert not (await batches.service.cancel(OPERATOR, batch.batch_id)).cancelled
    ended = await batches.ended(batch)
    assert (ended.cancelled_by, batches.stage.turns.stopped_by) == (CancelledBy.USER, [CancelledBy.USER] * 2)
    assert (ended.status, ended.completed, ended.cancelled) == (BatchStatus.CANCELLED, 1, 52)
    assert not (await batches.service.cancel(context(), batch.batch_id)).cancelled
    assert await batches.service.get(context(), batch.batch_id) == ended
    assert await batches.queue_is_empty()


async def test_a_batch_and_its_items_name_the_operator_who_has_stopped_them(batches: Batches) -> None:
    batch = await batches.create(["hold a", "hold b"], max_concurrency=1)
    await batches.stage.turns.running.wait()
    assert (await batches.service.cancel(OPERATOR, batch.batch_id)).cancelled
    assert (await batches.ended(batch)).cancelled_by is CancelledBy.OPERATOR
    assert (await batches.progress(batch))[-1].cancelled_by is CancelledBy.OPERATOR
    assert (await batches.stage.tasks.get(context(), f"{batch.batch_id}.0")).cancelled_by is CancelledBy.OPERATOR
    assert batches.stage.turns.stopped_by == [CancelledBy.OPERATOR]


async def test_cancelling_one_item_lets_the_others_go_on(batches: Batches) -> None:
    batch = await batches.create(["hold a", "say b", "say c"], max_concurrency=1)
    await batches.stage.turns.running.wait()
    assert (await batches.stage.tasks.cancel(context(), f"{batch.batch_id}.0")).cancelled
    ended = await batches.ended(batch)
    assert (ended.status, ended.completed, ended.cancelled) == (BatchStatus.PARTIAL, 2, 1)


async def test_cancelling_an_item_that_waits_in_the_queue_brings_the_next_one(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        batch = await batches.create(["say a", "say b"], max_concurrency=1)
        assert (await batches.stage.tasks.cancel(context(), f"{batch.batch_id}.0")).cancelled
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(batches.stage.consumer.run, batches.stage.stopping))
            ended = await batches.ended(batch)
            nursery.cancel_scope.cancel()
        assert (ended.completed, ended.cancelled) == (1, 1)


async def test_progress_is_told_seldom_and_the_end_exactly_once(batches: Batches) -> None:
    batch = await batches.create([f"say {number}" for number in range(100)])
    await batches.ended(batch)
    progress = await batches.progress(batch)
    assert len(progress) <= 20
    assert [one for one in progress if one.status is not BatchStatus.RUNNING] == [
        BatchProgress(batch.batch_id, 100, 0, 100, 0, BatchStatus.COMPLETED)
    ]
    assert progress == sorted(progress, key=lambda one: one.completed)


async def test_a_process_that_is_lost_loses_no_item_and_doubles_none(redis_url: str) -> None:
    settings = evolve(SETTINGS, node_timeout=0.5)
    contents = [f"say {number}" for number in range(200)]
    async with open_batches(redis_url, settings, consume=False) as lost, trio.open_nursery() as nursery:
        nursery.start_soon(lost.stage.consumer.run, trio.Event())
        batch = await lost.create(["hold first", *contents], max_concurrency=8)
        await lost.reaches(batch, lambda now: now.completed >= 20)
        nursery.cancel_scope.cancel()  # no hand is given back, and no heartbeat comes any more
    async with open_batches(redis_url, settings) as alive:
        alive.stage.turns.release.set()
        ended = await alive.ended(batch)
        assert (ended.status, ended.completed) == (BatchStatus.COMPLETED, 201)
        results = await alive.results(batch)
        assert [item.result["content"] for item in results if item.result] == ["first", *map(str, range(200))]
        assert results[0].attempt == 2
        assert [one.status for one in await alive.progress(batch)].count(BatchStatus.COMPLETED) == 1
        assert await alive.queue_is_empty()


async def test_a_request_that_is_repeated_makes_one_batch(batches: Batches) -> None:
    ctx = context(idempotency_key="k1")
    request = BatchCreate([BatchItem("say a"), BatchItem("say b")], "echo")
    made: list[tuple[Batch, bool]] = []

    async def create() -> None:
        made.append(await batches.service.create(ctx, request))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(create)
    assert len({batch.batch_id for batch, _ in made}) == 1
    assert sorted(replayed for _, replayed in made) == [False, True, True, True]
    assert len(await batches.stage.redis.keys("orchestrator:batch:*:items")) == 1
    with pytest.raises(IdempotencyKeyReused):
        await batches.service.create(ctx, BatchCreate([BatchItem("say c")], "echo"))
    await batches.ended(made[0][0])


async def test_a_creation_that_breaks_off_leaves_nothing_behind(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        store = batches.service.store
        await store.stage("acme", "b1", [BatchItem(f"say {number}") for number in range(2500)])
        keys = batches.stage.keys
        assert await batches.stage.redis.hlen(keys.batch_items("acme", "b1")) == 2500
        assert 0 < await batches.stage.redis.ttl(keys.batch_items("acme", "b1")) <= 300
        with pytest.raises(NotFound):
            await batches.service.get(context(), "b1")
        assert (await batches.service.list(context(), limit=10)).items == []
        assert await batches.queue_is_empty()


async def test_ten_thousand_items_are_taken_at_once(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        batch = await batches.create(["say x" * 20] * 10_000)
        assert (batch.total, batch.pending) == (10_000, 10_000)
        last = await batches.service.results(context(), batch.batch_id, cursor=None, limit=200)
        assert len(last.items) == 200
        assert (await batches.service.cancel(context(), batch.batch_id)).cancelled
        assert (await batches.ended(batch)).cancelled == 10_000


async def test_what_waits_in_batches_counts_for_the_bound_of_the_queue(redis_url: str) -> None:
    async with open_batches(redis_url, evolve(SETTINGS, queue_length=10), consume=False) as batches:
        batch = await batches.create(["say a"] * 6, max_concurrency=2)
        with pytest.raises(QueueFull):
            await batches.create(["say b"] * 5)
        await batches.create(["say c"] * 4)
        await batches.service.cancel(context(), batch.batch_id)
        await batches.create(["say d"] * 6)
        assert len(await batches.stage.redis.keys("orchestrator:batch:*:items")) == 3


async def test_a_draining_tenant_takes_no_batch(batches: Batches) -> None:
    await batches.stage.redis.hset(batches.stage.keys.tenant_config("acme"), "state", "draining")
    with pytest.raises(TenantDraining):
        await batches.create(["say a"])
    assert await batches.stage.redis.keys("orchestrator:batch:*") == []


async def test_batches_of_others_do_not_exist(batches: Batches) -> None:
    batch = await batches.create(["say a"])
    service = batches.service
    for other in (context(user="bob"), context("globex")):
        asked: list[Callable[[], Awaitable[object]]] = [
            partial(service.get, other, batch.batch_id),
            partial(service.results, other, batch.batch_id, limit=5),
            partial(service.cancel, other, batch.batch_id),
        ]
        for ask in asked:
            with pytest.raises(NotFound):
                await ask()
        assert (await service.list(other, limit=5)).items == []
    assert [one.batch_id for one in (await service.list(context(), limit=5)).items] == [batch.batch_id]


async def test_priority_five_goes_before_the_others_and_all_of_it_after_chats(redis_url: str) -> None:
    async with open_batches(redis_url, consume=False) as batches:
        await batches.create(["say a"])
        await batches.create(["say b"], priority=5)
        stage = batches.stage
        lengths = [await stage.redis.xlen(stage.keys.lane("acme", lane)) for lane in (Lane.LOW, Lane.NORMAL)]
        assert lengths == [1, 1]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"items": [], "agent_id": "echo"}, "$.items"),
        ({"items": [{"content": "a"}] * 10_001, "agent_id": "echo"}, "$.items"),
        ({"items": [{"content": ""}], "agent_id": "echo"}, "$.items[0].content"),
        ({"items": [{"content": "a", "x": 1}], "agent_id": "echo"}, "$.items[0].x"),
        ({"items": [{"content": "a"}], "agent_id": "echo", "max_concurrency": 0}, "$.max_concurrency"),
        ({"items": [{"content": "a"}], "agent_id": "echo", "priority": 4}, "$.priority"),
    ],
)
def test_a_body_with_a_fault_is_refused_with_its_path(body: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidBody) as refused:
        structure(body, BatchCreate)
    assert fault in [one.path for one in refused.value.details]


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (BatchCreate([BatchItem("a")]), InvalidBody),
        (BatchCreate([BatchItem("a")], "echo", workflow_id="arithmetic"), InvalidBody),
        (BatchCreate([BatchItem("a")], workflow_id="arithmetic"), InvalidBody),
        (BatchCreate([BatchItem(input={})], workflow_id="unknown"), NotFound),
        (BatchCreate([BatchItem(input={})], "echo"), InvalidBody),
        (BatchCreate([BatchItem("a")], "echo", scheduled_for="2020-01-01T00:00:00Z"), Unprocessable),
        (BatchCreate([BatchItem("a")], "echo", scheduled_for="2999-01-01T00:00:00Z"), Unprocessable),
    ],
)
async def test_a_batch_needs_an_agent(
    batches: Batches, request_: BatchCreate, refusal: type[OrchestratorError]
) -> None:
    with pytest.raises(refusal):
        await batches.service.create(context(), request_)


async def test_an_unknown_agent_is_not_found_and_any_is_accepted_while_its_service_is_away(batches: Batches) -> None:
    with pytest.raises(NotFound):
        await batches.service.create(context(), BatchCreate([BatchItem("say a")], "nobody"))
    batch, _ = await batches.service.create(context(), BatchCreate([BatchItem("say a")], "away"))
    assert (await batches.ended(batch)).completed == 1


async def test_a_cursor_of_another_list_is_refused(batches: Batches) -> None:
    one, two = await batches.create(["say a"] * 3), await batches.create(["say b"] * 3)
    page = await batches.service.results(context(), one.batch_id, limit=1)
    for cursor in (page.next_cursor, "nonsense"):
        with pytest.raises(InvalidParameter):
            await batches.service.results(context(), two.batch_id, cursor=cursor, limit=1)
