"""Callbacks: the end of a batch is told once it is there, signed, until it was heard, and to no private address."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from attrs import evolve, frozen

from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.errors import InvalidBody, NotFound
from orchestrator.models.common.timestamps import from_timestamp, now_ms, to_timestamp
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.plans.orchestration import RetryPolicy
from orchestrator.models.tasks.batch import Batch, BatchCallback, CallbackEvent, CallbackRequest, CallbackStatus
from orchestrator.models.tasks.callback import CallbackAttempt
from orchestrator.models.tasks.replay import ReplayRequest
from orchestrator.models.tasks.task import Lane, Task, TaskStatus
from orchestrator.queue.attempts.running_task import StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.queue.tasks.webhooks import LIFETIME_MS, POLICY, Webhooks
from orchestrator.queue.worker.consumer import TaskHandler
from orchestrator.services.tasks.callbacks import WEBHOOK, CallbackService
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.stores import Stores
from orchestrator.store.tasks.callback_log import ATTEMPTS_KEPT
from tests.queue.operations import open_desk, operator
from tests.queue.stage import SETTINGS, context
from tests.queue.tasks.test_batch_items import Batches, open_batches
from tests.services.operations.test_consistency import audit
from tests.support.callback_receiver import Delivery, Receiver, open_receiver
from tests.support.eventually import PATIENCE, eventually

SOON = RetryPolicy(attempts=4, first_ms=10, factor=2.0)


@frozen
class Told:
    """A process with batches, and a receiver that is told of them."""

    batches: Batches
    receiver: Receiver
    tenants: TenantStates

    async def create(self, *contents: str, url: str | None = None, **fields: Any) -> Batch:
        """Create a batch that is told of."""
        return await self.batches.create(contents, callback=CallbackRequest(url or self.receiver.url()), **fields)

    async def settled(self, batch: Batch) -> BatchCallback:
        """Wait until nothing more is sent of a batch."""
        over = {CallbackStatus.DELIVERED, CallbackStatus.FAILED, CallbackStatus.CANCELLED}
        ended = await self.batches.reaches(batch, lambda now: now.callback is not None and now.callback.status in over)
        assert ended.callback is not None
        return ended.callback

    async def task(self) -> Task:
        """Return the task of the only callback."""
        stage = self.batches.stage
        page = await stage.tasks.list(context(), limit=50)
        [task] = [task for task in page.items if task.type == str(WEBHOOK)]
        return task

    async def dead_letters(self) -> int:
        stage = self.batches.stage
        return int(await stage.redis.xlen(stage.keys.dead_letters("acme")))

    async def secrets(self, *, rotate: bool = False) -> list[str]:
        return await self.tenants.callback_secrets("acme", "whsec_bmV3", rotate=rotate)


@asynccontextmanager
async def open_told(
    redis_url: str, policy: RetryPolicy = SOON, allow: tuple[str, ...] = ("127.0.0.0/8",), **fields: Any
) -> AsyncIterator[Told]:
    settings = evolve(SETTINGS, callback_allow=allow)

    def handlers(queue: QueueServices, stores: Stores) -> Mapping[str, TaskHandler]:
        client = CallbackClient(AddressGuard(allow))
        log, keep = stores.callbacks, int(SETTINGS.retain_tasks)
        webhooks = Webhooks(queue, stores.batches, stores.workflows, stores.tenants, client, log, keep, policy)
        return {str(WEBHOOK): webhooks}

    async with open_receiver() as receiver, open_batches(redis_url, settings, handlers=handlers, **fields) as batches:
        yield Told(batches, receiver, batches.stage.stores.tenants)


@pytest.fixture
async def told(redis_url: str) -> AsyncIterator[Told]:
    async with open_told(redis_url) as told:
        yield told


def signature(secret: str, delivery: Delivery) -> str:
    """Sign as the specification says, without our code."""
    signed = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body
    key = base64.b64decode(secret.split("_", 1)[1])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def test_the_end_of_a_batch_is_delivered_once_and_signed_with_the_tenants_secret(told: Told) -> None:
    batch = await told.create("say 1", "fail", "say 3")
    assert batch.callback is not None
    assert (batch.callback.url, batch.callback.events) == (told.receiver.url(), [CallbackEvent.COMPLETED])
    callback = await told.settled(batch)
    assert (callback.status, callback.attempts, callback.last_error) == (CallbackStatus.DELIVERED, 1, None)
    [delivery] = told.receiver.deliveries
    [secret] = await told.secrets()
    assert delivery.headers["webhook-signature"] == signature(secret, delivery)
    assert abs(int(delivery.headers["webhook-timestamp"]) - now_ms() / 1000) < 60
    assert (delivery.path, delivery.headers["content-type"]) == ("/hook?a=1", "application/json")
    assert delivery.headers["host"] == f"127.0.0.1:{told.receiver.port}"
    body = orjson.loads(delivery.body)
    ended = await told.batches.service.get(context(), batch.batch_id)
    assert (body["type"], body["timestamp"]) == ("batch.completed", ended.finished_at)
    assert (body["data"]["batch_id"], body["data"]["status"]) == (batch.batch_id, "partial")
    assert (body["data"]["completed"], body["data"]["failed"]) == (2, 1)
    task = await told.task()
    assert (task.task_id, task.status, task.priority) == (delivery.headers["webhook-id"], TaskStatus.COMPLETED, 9)
    assert await told.batches.queue_is_empty()


async def test_nothing_is_sent_before_the_end_and_a_batch_without_callback_brings_no_task(redis_url: str) -> None:
    async with open_told(redis_url) as told:
        silent = await told.batches.create(["say 1"])
        assert (await told.batches.ended(silent)).callback is None
        batch = await told.create("hold 1")
        await told.batches.reaches(batch, lambda now: now.running == 1)
        assert batch.callback is not None
        assert (batch.callback.status, told.receiver.deliveries) == (CallbackStatus.WAITING, [])
        told.batches.stage.turns.release.set()
        assert (await told.settled(batch)).attempts == 1
        assert len(told.receiver.deliveries) == 1


async def test_the_task_is_there_in_the_low_lane_with_the_very_end_of_the_batch(redis_url: str) -> None:
    async with open_told(redis_url, consume=False) as told:
        stage = told.batches.stage
        batch = await told.create("say 1", "say 2")
        await told.batches.service.cancel(context(), batch.batch_id)
        [(_, entry)] = await stage.redis.xrange(stage.keys.lane("acme", Lane.LOW))
        message = orjson.loads(entry[b"message"])
        assert message["payload"] == {"batch_id": batch.batch_id, "url": told.receiver.url()}
        assert (await told.task()).task_id == entry[b"task_id"].decode()


@pytest.mark.parametrize(("contents", "fields"), [(["fail", "say 2"], {"on_item_error": "abort"}), (["fail"], {})])
async def test_a_batch_that_failed_is_told_of_too(told: Told, contents: list[str], fields: Any) -> None:
    await told.settled(await told.create(*contents, max_concurrency=1, **fields))
    [delivery] = told.receiver.deliveries
    assert orjson.loads(delivery.body)["data"]["status"] == "failed"


async def test_a_cancelled_batch_is_told_of_at_once(told: Told) -> None:
    batch = await told.create("hold 1", "say 2", max_concurrency=1)
    await told.batches.reaches(batch, lambda now: now.running == 1)
    await told.batches.service.cancel(context(), batch.batch_id)
    assert (await told.settled(batch)).status is CallbackStatus.DELIVERED
    assert orjson.loads(told.receiver.deliveries[0].body)["data"]["status"] == "cancelled"


async def test_other_answers_are_retried_with_the_same_id_and_body_and_redirects_are_not_followed(
    told: Told,
) -> None:
    told.receiver.answers = [500, 302, 404]
    callback = await told.settled(await told.create("say 1"))
    assert (callback.status, callback.attempts, callback.last_error) == (CallbackStatus.DELIVERED, 4, None)
    deliveries = told.receiver.deliveries
    assert len({(delivery.headers["webhook-id"], delivery.body) for delivery in deliveries}) == 1
    [secret] = await told.secrets()
    assert [delivery.headers["webhook-signature"] for delivery in deliveries] == [
        signature(secret, delivery) for delivery in deliveries
    ]
    assert await told.dead_letters() == 0


async def test_while_it_is_tried_again_the_batch_shows_why(redis_url: str) -> None:
    async with open_told(redis_url, RetryPolicy(attempts=3, first_ms=60_000)) as told:
        told.receiver.answers = [503]
        batch = await told.create("say 1")
        now = await told.batches.reaches(batch, lambda now: bool(now.callback and now.callback.last_error))
        assert now.callback is not None
        assert now.callback.last_error is not None
        assert (now.callback.status, now.callback.attempts) == (CallbackStatus.DELIVERING, 1)
        assert now.callback.last_error.message == "The receiver answered 503."
        assert abs(from_timestamp(now.callback.last_attempt_at or "") - now_ms()) < 60_000
        stage = told.batches.stage
        [(_, due)] = await stage.redis.zrevrangebyscore(
            stage.keys.delayed("acme"), "+inf", "-inf", 0, 9, withscores=True
        )
        assert 50_000 < due - now_ms() <= 60_000
        assert (await audit(stage)).faults == []


@pytest.mark.parametrize(
    ("said", "waits_ms"),
    [("120", 120_000), ("999999999", 600_000), ("Wed, 21 Oct 2099 07:28:00 GMT", 1000), ("-5", 1000)],
)
async def test_a_receiver_that_asks_for_more_time_gets_it_within_the_longest_pause(
    redis_url: str, said: str, waits_ms: int
) -> None:
    async with open_told(redis_url, RetryPolicy(attempts=3, first_ms=1000, jitter=0, cap_ms=600_000)) as told:
        told.receiver.answers, told.receiver.retry_after = [503], said
        batch = await told.create("say 1")
        await told.batches.reaches(batch, lambda now: bool(now.callback and now.callback.last_error))
        stage = told.batches.stage
        [(_, due)] = await stage.redis.zrange(stage.keys.delayed("acme"), 0, -1, withscores=True)
        assert waits_ms - 1000 < due - now_ms() <= waits_ms


async def test_410_ends_it_at_once_and_it_becomes_a_dead_letter(told: Told) -> None:
    told.receiver.answers = [410]
    callback = await told.settled(await told.create("say 1"))
    assert (callback.status, callback.attempts) == (CallbackStatus.FAILED, 1)
    assert callback.last_error is not None
    assert "410" in callback.last_error.message
    assert await told.dead_letters() == 1


async def test_a_receiver_that_is_never_there_is_given_up(told: Told) -> None:
    async with open_receiver() as gone:
        url = gone.url()
    callback = await told.settled(await told.create("say 1", url=url))
    assert (callback.status, callback.attempts) == (CallbackStatus.FAILED, SOON.attempts)
    assert await told.dead_letters() == 1


async def test_nothing_is_retried_beyond_its_lifetime(redis_url: str) -> None:
    async with open_told(redis_url, RetryPolicy(attempts=9, first_ms=LIFETIME_MS)) as told:
        told.receiver.answers = [500]
        callback = await told.settled(await told.create("say 1"))
        assert (callback.status, callback.attempts) == (CallbackStatus.FAILED, 1)


def test_the_delays_cover_a_day_and_no_more_than_a_few_attempts_of_it() -> None:
    delays = [min(POLICY.cap_ms, POLICY.first_ms * POLICY.factor**number) for number in range(POLICY.attempts)]
    within = [number for number in range(len(delays)) if sum(delays[: number + 1]) < LIFETIME_MS]
    assert 15 <= len(within) <= 25


async def test_a_private_address_is_refused_after_its_name_was_resolved_and_no_request_is_made(redis_url: str) -> None:
    async with open_told(redis_url, allow=()) as told:
        callback = await told.settled(await told.create("say 1", url=told.receiver.url("localhost")))
        assert (callback.status, callback.attempts) == (CallbackStatus.FAILED, 1)
        assert callback.last_error is not None
        assert "no address that requests may be sent to" in callback.last_error.message
        assert told.receiver.deliveries == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "/hook",
        "http://",
        "http://example.org:99999/",
        "http://user:word@example.org/",
        "http://example.org/#part",
        "http://example.org/a b",
        "http://exämple.org/",
        "http://example.org/\r\nX: 1",
        "http://127.0.0.1/",
        "http://[::1]:8000/",
        "http://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/hook",
    ],
)
async def test_a_bad_url_is_refused_with_its_path_and_leaves_nothing_behind(redis_url: str, url: str) -> None:
    async with open_told(redis_url, allow=()) as told:
        with pytest.raises(InvalidBody) as refused:
            await told.create("say 1", url=url)
        assert [fault.path for fault in refused.value.details] == ["$.data.callback.url"]
        assert not await told.batches.stage.redis.exists(told.batches.stage.keys.batches("acme"))


async def test_while_one_secret_replaces_another_both_sign(told: Told) -> None:
    [old] = await told.secrets()
    assert await told.secrets() == [old]
    new, before = await told.secrets(rotate=True)
    assert (new, before) == ("whsec_bmV3", old)
    await told.settled(await told.create("say 1"))
    [delivery] = told.receiver.deliveries
    assert delivery.headers["webhook-signature"].split(" ") == [signature(new, delivery), signature(old, delivery)]
    stage = told.batches.stage
    await stage.redis.hset(stage.keys.tenant_config("acme"), "callback_secret_until", now_ms() - 1000)
    assert await told.secrets() == [new]


async def test_a_delivery_can_be_cancelled(told: Told) -> None:
    told.receiver.release = trio.Event()
    batch = await told.create("say 1")
    with trio.fail_after(PATIENCE):
        await told.receiver.came.wait()
    await told.batches.stage.tasks.cancel(context(), (await told.task()).task_id)
    assert (await told.settled(batch)).status is CallbackStatus.CANCELLED


async def test_a_process_that_stops_hands_its_delivery_to_another_one(redis_url: str) -> None:
    async with open_told(redis_url) as told:
        told.receiver.release = trio.Event()
        batch = await told.create("say 1")
        with trio.fail_after(PATIENCE):
            await told.receiver.came.wait()
        task = await told.task()
        stage = told.batches.stage
        [running] = stage.consumer.running_tasks.values()

        running.stop(StopReason.HANDED_BACK)
        told.receiver.release.set()
        callback = await told.settled(batch)
        assert (callback.status, callback.attempts) == (CallbackStatus.DELIVERED, 2)
        assert {delivery.headers["webhook-id"] for delivery in told.receiver.deliveries} == {task.task_id}
        assert len({delivery.body for delivery in told.receiver.deliveries}) == 1


async def test_a_dead_letter_is_sent_again_as_a_delivery_of_its_own(told: Told) -> None:
    told.receiver.answers = [410]
    batch = await told.create("say 1")
    await told.settled(batch)
    first = await told.task()
    desk, told.receiver.came = open_desk(told.batches.stage), trio.Event()
    replayed, _ = await desk.replays.replay_own(operator(), first.task_id, ReplayRequest())
    with trio.fail_after(PATIENCE):
        await told.receiver.came.wait()
    before, again = told.receiver.deliveries
    assert again.headers["webhook-id"] == replayed.task_id != before.headers["webhook-id"]
    assert again.body == before.body


async def test_a_callback_never_tells_of_another_users_batch(told: Told) -> None:
    batch = await told.create("say 1")
    await told.settled(batch)
    stage = told.batches.stage
    await stage.redis.hset(stage.keys.batch("acme", batch.batch_id), "user_id", "bob")
    replayed, _ = await open_desk(stage).replays.replay_own(operator(), (await told.task()).task_id, ReplayRequest())
    task = await eventually(
        "the delivery has failed",
        lambda: stage.tasks.get(operator(), str(replayed.task_id)),
        lambda task: task.error is not None,
    )
    assert task.error is not None
    assert task.error.code == "ORCH_NOTF_001"
    assert len(told.receiver.deliveries) == 1


async def test_a_receiver_that_is_gone_holds_up_no_drain_and_is_tried_on_after_a_resume(redis_url: str) -> None:
    async with open_told(redis_url, RetryPolicy(attempts=3, first_ms=60_000)) as told:
        told.receiver.answers = [503]
        batch = await told.create("say 1")
        await told.batches.reaches(batch, lambda now: bool(now.callback and now.callback.last_error))
        stage = told.batches.stage
        await told.tenants.change_state("acme", TenantState.DRAINING)
        assert await told.tenants.advance("acme", KNOWN_KINDS.passed_over_by_drains) is TenantState.DRAINED
        assert (await audit(stage)).faults == []
        [due] = [fields[b"due"] for _, fields in await stage.redis.xrange(stage.keys.parked("acme"))]
        await told.tenants.change_state("acme", TenantState.ACTIVE)
        assert await told.tenants.advance("acme", KNOWN_KINDS.passed_over_by_drains) is TenantState.ACTIVE
        [(_, again)] = await stage.redis.zrange(stage.keys.delayed("acme"), 0, -1, withscores=True)
        assert again == float(due)
        assert (await audit(stage)).faults == []


async def test_each_attempt_is_kept_without_its_body_and_told_newest_first(redis_url: str) -> None:
    async with open_told(redis_url) as told:
        told.receiver.answers += [503, 500]
        log, ctx = CallbackService(told.batches.stage.stores.callbacks), context()
        batch = await told.create("say 1", url=told.receiver.url() + "&token=xyzzy")
        await told.settled(batch)
        page = await log.list(ctx, batch.batch_id, limit=50)
        assert [(one.attempt, one.status) for one in page.items] == [(3, 200), (2, 500), (1, 503)]
        newest, _, first = page.items
        assert (newest.error, first.error and first.error.message) == (None, "The receiver answered 503.")
        sent = told.receiver.deliveries[0].body
        assert {(one.body_bytes, one.body_sha256) for one in page.items} == {
            (len(sent), hashlib.sha256(sent).hexdigest())
        }
        assert newest.url == f"http://127.0.0.1:{told.receiver.port}/hook"
        assert newest.task_id == told.receiver.deliveries[0].headers["webhook-id"]
        assert (await log.list(ctx, newest.task_id, limit=50)).items == page.items

        key = told.batches.stage.keys.callbacks("acme", batch.batch_id)
        assert 0 < await told.batches.stage.redis.ttl(key) <= SETTINGS.retain_tasks
        kept = b"".join(await told.batches.stage.redis.lrange(key, 0, -1))
        assert b"xyzzy" not in kept
        assert b"say 1" not in kept


async def test_an_attempt_without_an_answer_says_why(redis_url: str) -> None:
    async with open_told(redis_url, allow=()) as told:
        log = CallbackService(told.batches.stage.stores.callbacks)
        batch = await told.create("say 1", url=told.receiver.url("localhost"))
        await told.settled(batch)
        [attempt] = (await log.list(context(), batch.batch_id, limit=50)).items
        assert (attempt.status, attempt.error) == (None, (await told.task()).error)
        assert attempt.error is not None
        assert "localhost is at no address" in attempt.error.message


async def test_attempts_are_paged_bounded_and_their_owners_alone(redis_url: str) -> None:
    async with open_told(redis_url, consume=False) as told:
        stage = told.batches.stage
        log = CallbackService(stage.stores.callbacks)
        batch = await told.create("say 1")
        for number in range(ATTEMPTS_KEPT + 3):
            at = to_timestamp(1_767_225_600_000 + number)
            attempt = CallbackAttempt(at, "d", number + 1, "http://x/", 200, None, 1, 2, "0")
            for _ in range(2):
                await stage.stores.callbacks.note("acme", batch.batch_id, attempt, 60)
        first = await log.list(context(), batch.batch_id, limit=60)
        rest = await log.list(context(), batch.batch_id, cursor=first.next_cursor, limit=60)
        numbers = [one.attempt for one in (*first.items, *rest.items)]
        assert (numbers, rest.next_cursor) == (list(range(ATTEMPTS_KEPT + 3, 3, -1)), None)
        assert (await log.list(operator(), batch.batch_id, limit=1)).items[0].attempt == ATTEMPTS_KEPT + 3
        for ctx, named in ((context("bob"), batch.batch_id), (context(), "unknown"), (operator(), "unknown")):
            with pytest.raises(NotFound):
                await log.list(ctx, named, limit=1)
