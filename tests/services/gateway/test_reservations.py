"""Budgets, rates, and calls whose outcome is not known: whatever happens, what is spent is counted once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from orchestrator.errors import (
    BadGateway,
    BudgetExhausted,
    CircuitOpen,
    InvalidAnswer,
    OrchestratorError,
    RateLimited,
    Unprocessable,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.gateway.usage import UsageGroup, UsageKind
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.store.gateway.gateway_calls import Reserved
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.timelines import TimelineStore
from tests.services.gateway.rig import ANSWER, CTX, USAGE, answering, gateway_at, keyed, rig
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, begin_stream, end_stream, reply, send_lines, serve, stream_all

QUESTION = {"query": "Really?", "max_tokens": 100, "cache": False}


@define(eq=False)
class Service:
    """A service that does once what it is asked under one key, and may lose its answers on the way."""

    lose: int = 0
    """So many answers are lost after the work was done."""
    done: dict[str, int] = field(factory=dict)
    asked: int = 0

    async def __call__(self, asked: Asked, stream: trio.SocketStream) -> None:
        self.asked += 1
        self.done.setdefault(asked.headers["idempotency-key"], 25)
        if self.lose:
            self.lose -= 1
            await stream.aclose()
            raise EOFError
        if "texts" in asked.body:
            await reply(stream, {"embeddings": [[0.5]], "model": "small", "dimensions": 1, "total_tokens": 25})
        elif asked.body.get("stream"):
            await stream_all(stream, {"chunk": "Yes"}, {"metadata": USAGE})
        else:
            await reply(stream, ANSWER)

    @property
    def spent(self) -> int:
        return sum(self.done.values())


async def test_a_budget_is_kept_by_what_is_reserved_and_told_with_the_moment_it_resets(redis_url: str) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        await up.configure(tokens_day=130)
        await up.gateway.generate(CTX, QUESTION)
        await up.gateway.generate(CTX, QUESTION)
        assert await up.budget() == {"used": 50, "reserved": 0, "used|large": 50, "reserved|": 0, "reserved|large": 0}
        with pytest.raises(BudgetExhausted) as caught:
            await up.gateway.generate(CTX, QUESTION)
        assert 0 < (caught.value.retry_after_ms or 0) <= 86_400_000
        assert caught.value.message == (
            "The tokens of the day of the tenant are used up: 80 of 130 are left, and the call may take 103."
        )
        await up.gateway.generate(CTX, {**QUESTION, "max_tokens": 10})
        await up.configure(tokens_day=10_000)
        await up.gateway.generate(CTX, QUESTION)
    assert len(seen) == 4


async def test_what_is_in_flight_is_reserved_and_given_back(redis_url: str) -> None:
    go_on = trio.Event()

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await go_on.wait()
        await reply(stream, ANSWER)

    async with rig(redis_url, handler) as up:
        await up.configure(tokens_day=250)
        refused = []

        async def ask() -> None:
            try:
                await up.gateway.generate(CTX, QUESTION)
            except BudgetExhausted as error:
                refused.append(error.retry_after_ms)
                if len(refused) == 8:
                    go_on.set()

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        # Others have reserved it: it is worth to come back soon.
        assert refused == [1000] * 8
        assert (await up.usage()).totals.total_tokens == 50
        assert (await up.budget())["reserved"] == 0


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"tokens_month": 90}, "month of the tenant"),
        ({"model:tokens_day:large": 90}, "day of model large"),
        ({"model:tokens_month:large": 90}, "month of model large"),
    ],
)
async def test_there_are_budgets_of_months_and_models_too(redis_url: str, limits: dict[str, int], said: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        await up.configure(**limits)
        with pytest.raises(BudgetExhausted, match=said):
            await up.gateway.generate(CTX, {**QUESTION, "llm_model": "large"})
        if "model" in next(iter(limits)):
            await up.gateway.generate(CTX, {**QUESTION, "llm_model": "other"})


async def test_a_request_that_names_no_model_is_held_to_the_one_that_answers(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        await up.configure(**{"model:tokens_day:large": 120})
        await up.gateway.generate(CTX, QUESTION)
        with pytest.raises(BudgetExhausted, match="model large"):
            await up.gateway.generate(CTX, QUESTION)


@pytest.mark.parametrize(
    ("limits", "allowed", "said"),
    [
        ({"requests_minute": 3}, 3, "3 requests a minute of the tenant"),
        ({"model:requests_minute:large": 2}, 2, "2 requests a minute of model large"),
        ({"tokens_minute": 220}, 2, "220 tokens a minute of the tenant"),
        ({"model:tokens_minute:large": 110}, 1, "110 tokens a minute of model large"),
        ({"tier": "free", "tokens_minute": 110}, 1, "110 tokens a minute"),
    ],
)
async def test_calls_and_tokens_a_minute_are_limited(
    redis_url: str, limits: dict[str, Any], allowed: int, said: str
) -> None:
    handler, seen = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        await up.configure(**limits)
        for _ in range(allowed):
            await up.gateway.generate(CTX, {**QUESTION, "llm_model": "large"})
        with pytest.raises(RateLimited, match=said) as caught:
            await up.gateway.generate(CTX, {**QUESTION, "llm_model": "large"})
        assert 0 < (caught.value.retry_after_ms or 0) <= 60_000
        assert not isinstance(caught.value, BudgetExhausted)
        assert (await up.budget())["reserved"] == 0
    assert len(seen) == allowed


async def test_a_tier_limits_who_has_no_limits_of_its_own(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler, tier="free") as up:
        with pytest.raises(BudgetExhausted, match="day of the tenant"):
            await up.gateway.generate(CTX, {**QUESTION, "max_tokens": 100_001})
        await up.configure(tier="enterprise")
        await up.gateway.generate(CTX, {**QUESTION, "max_tokens": 100_001})


async def test_a_call_that_is_refused_for_good_spends_nothing(redis_url: str) -> None:
    handler, seen = answering({"error": {"code": "QRY_1", "message": "No."}}, status=422)
    async with rig(redis_url, handler) as up:
        with pytest.raises(Unprocessable):
            await up.gateway.generate(CTX, QUESTION)
        assert await up.reservations() == 0
        assert (await up.budget())["reserved"] == 0
        assert (await up.usage()).items == []
    assert len(seen) == 1


async def test_a_call_whose_answer_is_lost_is_asked_for_again_until_its_usage_is_known(redis_url: str) -> None:
    service = Service(lose=3)
    async with rig(redis_url, service) as up:
        with pytest.raises(OrchestratorError):
            await up.gateway.generate(CTX, QUESTION)
        await up.settled()
        assert (await up.usage()).totals.total_tokens == service.spent == 25
        assert (await up.budget())["used"] == 25
    assert len(service.done) == 1


async def test_a_call_left_open_by_a_dead_process_is_counted_by_another(redis_url: str) -> None:
    service = Service()
    async with rig(redis_url, service, lease=0.6) as up:
        call = up.gateway.reader.call(CTX, UsageKind.GENERATE, {**QUESTION, "agent_id": "echo"})
        # It was reserved, and then there is silence.
        assert await up.gateway.reservations.store.reserve(call) == Reserved()
        await up.settled()
        (item,) = (await up.usage(UsageGroup.AGENT)).items
        assert (item.key, item.requests, item.total_tokens) == ("echo", 1, 25)
    assert list(service.done) == [call.call_id]


async def test_a_call_in_doubt_is_asked_for_as_soon_as_the_breaker_of_its_service_lets_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, attempt, refused = Service(), ServiceCoordinator.attempt, 0

    @asynccontextmanager
    async def open_at_first(self: ServiceCoordinator, step: ServiceCall, call: CallContext) -> AsyncIterator[Any]:
        nonlocal refused
        if refused < 9:  # after so many looks, an answer that failed would be asked for again in two minutes
            refused += 1
            raise CircuitOpen("Query is left alone.", retry_after_ms=1)
        async with attempt(self, step, call) as attempted:
            yield attempted

    monkeypatch.setattr(ServiceCoordinator, "attempt", open_at_first)
    async with rig(redis_url, service, lease=0.3) as up:
        await up.gateway.reservations.store.reserve(up.gateway.reader.call(CTX, UsageKind.GENERATE, QUESTION))
        await up.settled()
        assert (await up.usage()).totals.total_tokens == 25
    assert (refused, len(service.done)) == (9, 1)


async def test_a_process_that_stops_leaves_its_calls_to_the_others_at_once(redis_url: str) -> None:
    asked_for, keys = trio.Event(), []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        keys.append(asked.headers["idempotency-key"])
        if len(keys) == 1:
            asked_for.set()
            await trio.sleep_forever()
        await reply(stream, ANSWER)

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(handler))
        survivor = await stack.enter_async_context(gateway_at(redis_url, url, lease=0.6))
        async with gateway_at(redis_url, url, lease=60, timeout=60) as stopping, trio.open_nursery() as nursery:
            nursery.start_soon(stopping.gateway.generate, CTX, QUESTION)
            await asked_for.wait()
            nursery.cancel_scope.cancel()
        await survivor.settled()
        assert (await survivor.usage()).totals.total_tokens == 25
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_the_same_key_and_body_is_one_call_and_counted_once(redis_url: str) -> None:
    service = Service()
    async with rig(redis_url, service) as up:
        for ctx in (keyed("k-1"), keyed("k-1"), keyed("k-2")):
            await up.gateway.generate(ctx, QUESTION)
        await up.gateway.generate(keyed("k-1"), {**QUESTION, "query": "Another?"})
        totals = (await up.usage()).totals
    assert len(service.done) == 3
    assert totals.total_tokens == service.spent
    assert service.asked == 4


async def test_the_same_key_twice_at_once_is_counted_once(redis_url: str) -> None:
    service = Service()
    async with rig(redis_url, service) as up:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(up.gateway.generate, keyed("k-1"), QUESTION)
        await up.settled()
        assert (await up.usage()).totals.total_tokens == service.spent == 25


async def test_a_stream_that_breaks_is_asked_for_again_and_counted_once(redis_url: str) -> None:
    keys = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        keys.append(asked.headers["idempotency-key"])
        await begin_stream(stream)
        await send_lines(stream, {"chunk": "Yes"})
        if len(keys) == 1:
            await stream.aclose()
            raise EOFError
        await send_lines(stream, {"metadata": USAGE})
        await end_stream(stream)

    async with rig(redis_url, handler) as up:
        with pytest.raises(BadGateway):  # noqa: PT012 - it breaks while it is read
            async with up.gateway.stream(CTX, QUESTION) as passing:
                while await passing.receive() is not None:
                    pass
        await up.settled()
        assert (await up.usage()).totals.total_tokens == 25
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_after_its_time_a_call_is_given_up_and_its_estimate_kept_apart(redis_url: str) -> None:
    handler, _ = answering({"success": True, "embeddings": [[1.0]], "model": "small", "dimensions": 1})
    async with rig(redis_url, handler, give_up_after=1.0) as up:
        with pytest.raises(InvalidAnswer):
            await up.gateway.embed(CTX, {"texts": ["four words of text"]})
        await up.settled()
        totals = (await up.usage()).totals
        assert (totals.requests, totals.total_tokens, totals.unsettled_tokens) == (1, 0, 6)
        assert await up.budget() == {"reserved": 0, "reserved|": 0, "used": 6, "used|": 6}


async def test_prices_tell_the_cost_where_the_service_does_not(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler, prices=("large=2.5/10",)) as up:
        await up.gateway.generate(CTX, QUESTION)
        assert (await up.usage()).totals.cost == 0.0001


@pytest.mark.parametrize("step", range(1, 14))
async def test_a_call_cancelled_at_any_moment_is_counted(redis_url: str, step: int) -> None:
    """The asker is cancelled when it runs for the n-th time; the call is made whole, or was never made."""
    service = Service()
    async with rig(redis_url, service) as up:

        async def stream() -> None:
            async with up.gateway.stream(CTX, QUESTION) as passing:
                while await passing.receive() is not None:
                    pass

        await leave_at(step, lambda: up.gateway.generate(CTX, QUESTION))
        await leave_at(step, lambda: up.gateway.embed(CTX, {"texts": ["a"]}))
        await leave_at(step, stream)
        await up.gateway.idle()
        await up.settled()
        assert (await up.usage()).totals.total_tokens == service.spent
        assert (await up.budget()).get("reserved", 0) == 0


async def leave_at(step: int, work: Callable[[], Awaitable[object]]) -> None:
    """Run `work`, and cancel it when its task runs for the n-th time."""
    with trio.CancelScope() as scope:
        leaver = _Leaver(trio.lowlevel.current_task(), scope, step)
        trio.lowlevel.add_instrument(leaver)
        try:
            await work()
        finally:
            trio.lowlevel.remove_instrument(leaver)


@define(eq=False)
class _Leaver(trio.abc.Instrument):
    task: trio.lowlevel.Task
    scope: trio.CancelScope
    left: int

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def test_a_call_of_a_turn_belongs_to_its_user_and_session_and_stands_in_its_timeline(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        task = up.keys.task("acme", "t-1")
        await up.redis.hset(task, mapping={"correlation_id": "c1", "user_id": "ann", "session_id": "s-1", "attempt": 2})
        await up.redis.rpush(up.keys.trace("acme", "c1"), "t-1")
        for _ in range(2):
            await up.gateway.generate(CTX, {"query": "Really?"})
        (by_user,) = (await up.usage(UsageGroup.USER)).items
        (by_session,) = (await up.usage(UsageGroup.SESSION)).items
        viewer = Viewer("acme", "ann", sees_whole_tenant=False)
        steps = await TimelineStore(up.redis, up.keys, 1000).steps(viewer, "c1")
    assert (by_user.key, by_user.requests, by_user.cached, by_user.total_tokens) == ("ann", 2, 1, 25)
    assert by_session.key == "s-1"
    assert [(step.step, step.attempt, step.detail) for step in steps] == [
        ("gateway", 2, "generate large 25 tokens"),
        ("gateway", 2, "generate large from the cache"),
    ]


async def test_a_call_of_the_second_user_of_an_id_belongs_to_that_users_session(redis_url: str) -> None:
    handler, _ = answering(ANSWER)
    async with rig(redis_url, handler) as up:
        for task_id, user, session in (("t-1", "bob", "s-1"), ("t-2", "ann", "s-2")):
            record = {"correlation_id": "c1", "user_id": user, "session_id": session, "attempt": 1}
            await up.redis.hset(up.keys.task("acme", task_id), mapping=record)
        await up.redis.rpush(up.keys.trace("acme", "c1"), "t-1")
        await up.redis.rpush(up.keys.trace("acme", "c1", "ann"), "t-2")
        await up.gateway.generate(CTX, {"query": "Really?", "user_id": "ann"})
        assert [one.key for one in (await up.usage(UsageGroup.SESSION)).items] == ["s-2"]


@pytest.mark.parametrize("damaged", ["calls", "call", "budget"])
async def test_the_damaged_keys_of_one_tenant_do_not_stop_the_reconciler(redis_url: str, damaged: str) -> None:
    service = Service()
    async with serve(service) as url, gateway_at(redis_url, url, lease=0.3) as up:
        for tenant_id in ("acme", "globex"):
            ctx = evolve(CTX, principal=evolve(CTX.principal, tenant_id=tenant_id))
            call = up.gateway.reader.call(ctx, UsageKind.GENERATE, {**QUESTION, "query": tenant_id})
            await up.gateway.reservations.store.reserve(call)
            if tenant_id == "acme":
                today = f"{datetime.now(UTC):%Y%m%d}"
                key = {
                    "calls": up.keys.calls("acme"),
                    "call": up.keys.call("acme", call.call_id),
                    "budget": up.keys.budget("acme", today),
                }[damaged]
                await up.redis.delete(key)
                await up.redis.set(key, "damaged")
        await eventually(
            "the other tenant's call is settled",
            lambda: up.redis.zcard(up.keys.calls("globex")),
            lambda count: count == 0,
        )
        # As long as this one is up, it comes by again.
        call = up.gateway.reader.call(ctx, UsageKind.GENERATE, {**QUESTION, "query": "again"})
        await up.gateway.reservations.store.reserve(call)
        await eventually(
            "the other tenant's next call is settled too",
            lambda: up.redis.zcard(up.keys.calls("globex")),
            lambda count: count == 0,
        )
