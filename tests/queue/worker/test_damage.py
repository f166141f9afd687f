"""Damaged records and entries: each is told alone, and everything beside it goes on."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import orjson
import pytest
import trio
from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import NotFound, TenantDamaged
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.models.operations.tenant import DrainMode, TenantState
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.attempts.lifecycle import end_alone, read_or_dead_letter
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.consumer import TaskHandler
from orchestrator.services.operations.consistency import ConsistencyChecker
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.stores import Stores
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import eventually

QUICK: Final = evolve(SETTINGS, lease=0.6, max_attempts=2)
ODD: Final = (b"", b"x", b"-1", b"1e999", b"\xff\xfe", b"{", b"[]", b"null", b'{"a":', b"9" * 40, b"0", b"pending")
"""What stands in the place of a field."""


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, QUICK) as stage:
        yield stage


async def letters(stage: Stage, count: int) -> list[dict[str, Any]]:
    """Wait for so many dead letters; returns their errors."""
    found = await eventually(
        f"there are {count} dead letters",
        lambda: stage.redis.xrange(stage.keys.dead_letters("acme")),
        lambda entries: len(entries) >= count,
    )
    return [orjson.loads(fields[b"error"]) for _, fields in found]


async def hold(stage: Stage, state: TenantState) -> None:
    await TenantStates(stage.redis, stage.keys, 100).change_state("acme", state)
    await stage.queue.ready.mark("acme")


def checker_of(stage: Stage) -> ConsistencyChecker:
    stores = stage.stores
    return ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)


@frozen
class Three:
    """Three turns of as many sessions, which are claimed together; the second is damaged."""

    sessions: list[Session]
    turns: list[ChatAccepted]

    @property
    def damaged(self) -> str:
        return self.turns[1].task_id


async def three(stage: Stage) -> Three:
    sessions = [await stage.session() for _ in range(3)]
    await hold(stage, TenantState.PAUSED)
    return Three(sessions, [await stage.say(session, "say a") for session in sessions])


async def others_complete(stage: Stage, turns: Three) -> None:
    await hold(stage, TenantState.ACTIVE)
    for place in (0, 2):
        assert (await stage.ended(turns.sessions[place], turns.turns[place])).status is TaskStatus.COMPLETED
    assert stage.consumer.alive


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("attempt", b"many", "arithmetic"),
        ("status", b"odd", "the field 'status' says odd"),
        ("status", None, "the field 'status' says nil"),
        ("failures", b"x", "has a field of the wrong type"),
        ("failures", b"9" * 30, "claimed less often than it has failed"),
        ("parks", b"-1", "claimed less often than it has failed"),
        ("expires_at", b"soon", "has a field of the wrong type"),
        ("correlation_id", b"\xff", "holds what is not UTF-8"),
        ("message", None, "has no field 'message'"),
        ("message", b"{torn", "not JSON"),
        ("type", b"\xff", "holds what is not UTF-8"),
        ("type", b"no.such", "Nothing here runs tasks of the type 'no.such'"),
        ("checkpoint:answer", b"{torn", "has a field of the wrong type"),
    ],
)
async def test_a_damaged_field_of_a_record_moves_that_task_alone_to_the_dead_letters(
    stage: Stage, field: str, value: bytes | None, reason: str
) -> None:
    turns = await three(stage)
    key = stage.keys.task("acme", turns.damaged)
    await (stage.redis.hdel(key, field) if value is None else stage.redis.hset(key, field, value))
    await others_complete(stage, turns)
    [error] = await letters(stage, 1)
    told = error["message"] + "".join(fault["message"] for fault in error["details"])
    assert reason in told
    following = await stage.say(turns.sessions[1], "say b")
    assert (await stage.ended(turns.sessions[1], following)).status is TaskStatus.COMPLETED


@pytest.mark.parametrize("field", ["task_id", "entry", "lane", "priority", "steps"])
async def test_a_field_that_can_be_told_otherwise_may_be_missing(stage: Stage, field: str) -> None:
    turns = await three(stage)
    await stage.redis.hdel(stage.keys.task("acme", turns.damaged), field)
    await others_complete(stage, turns)
    key = stage.keys.task("acme", turns.damaged)
    await eventually("the turn is done", lambda: stage.redis.hget(key, "status"), lambda status: status == b"completed")
    assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 0


async def test_a_record_of_the_wrong_type_is_a_dead_letter_and_its_session_goes_on(stage: Stage) -> None:
    turns = await three(stage)
    following = await stage.say(turns.sessions[1], "say b")
    key = stage.keys.task("acme", turns.damaged)
    await stage.redis.gather([("DEL", key), ("SET", key, "x")])
    await others_complete(stage, turns)
    [error] = await letters(stage, 1)
    assert "WRONGTYPE" in error["details"][0]["message"]
    assert (await stage.ended(turns.sessions[1], following)).status is TaskStatus.COMPLETED
    assert await stage.redis.ttl(key) > 0


@pytest.mark.parametrize("field", ["state", "user_id", "metadata", "created_at", None])
async def test_a_damaged_session_is_told_by_each_of_its_turns_and_no_other_waits(
    stage: Stage, field: str | None
) -> None:
    turns = await three(stage)
    await stage.say(turns.sessions[1], "say b")
    key = stage.keys.session("acme", turns.sessions[1].session_id)
    await stage.redis.gather([("DEL", key), ("SET", key, "x")] if field is None else [("HDEL", key, field)])
    await others_complete(stage, turns)
    errors = await letters(stage, 2)
    assert {error["code"] for error in errors} == {"ORCH_SYS_003"}
    with pytest.raises((TenantDamaged, NotFound)):
        await stage.sessions.get(context(), turns.sessions[1].session_id)
    assert [fault.kind for fault in await repaired(stage, "acme")] == [ViolationKind.SESSION_DAMAGED]
    assert await repaired(stage, "acme") == []


async def repaired(stage: Stage, tenant_id: str) -> list[Violation]:
    """Look a tenant over and mend what can be mended; returns what was found."""
    checker = checker_of(stage)
    found = await checker.repair(await checker.audit(tenant_id))
    assert all(fault.mended for fault in found.faults)
    return found.faults


def entry(kind: str, payload: Mapping[str, Any], **fields: Any) -> bytes:
    """A message that another service has written by hand."""
    domain, _, action = kind.partition(".")
    message = {
        "message_id": new_id(),
        "task_id": new_id(),
        "tenant_id": "acme",
        "correlation_id": new_id(),
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "type": {"domain": domain, "action": action},
        "metadata": {"user_id": "ann"},
        "payload": payload,
        **fields,
    }
    return orjson.dumps(message)


@pytest.mark.parametrize(
    ("kind", "payload", "path"),
    [
        ("tool.execute", {"tool_id": "a", "parameters": {}}, "$.payload.timeout_ms"),
        ("tool.execute", {"tool_id": "a", "parameters": {}, "timeout_ms": "1"}, "$.payload.timeout_ms"),
        ("tool.execute", {"tool_id": "a", "parameters": {}, "timeout_ms": 2**63}, "$.payload.timeout_ms"),
        ("tool.execute", {"tool_id": 1, "parameters": [], "timeout_ms": True}, "$.payload.tool_id"),
        ("batch.item", {}, "$.payload.agent_id"),
        ("batch.item", {"agent_id": "a", "content": ["b"], "message_id": "c"}, "$.payload.content"),
        ("workflow.execute", {}, "$.payload.workflow_id"),
        ("workflow.execute", {"plan": []}, "$.payload.plan"),
        ("workflow.execute", {"workflow_id": "a", "input": 1}, "$.payload.input"),
        ("webhook.deliver", {"url": "https://a.example"}, "$.payload.batch_id"),
        ("webhook.deliver", {"url": 1, "task_id": "a"}, "$.payload.url"),
        ("delegation.cancel", {"task_id": None}, "$.payload.task_id"),
    ],
)
async def test_a_payload_that_its_kind_could_not_read_is_a_dead_letter_with_the_path(
    redis_url: str, kind: str, payload: dict[str, Any], path: str
) -> None:
    async with open_stage(redis_url, QUICK, handlers=every_handler) as stage:
        session = await stage.session()
        await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), {"message": entry(kind, payload)})
        await stage.queue.ready.mark("acme")
        [error] = await letters(stage, 1)
        assert error["details"][0]["path"] == path
        assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED


async def test_a_wide_entry_is_a_dead_letter_and_a_drain_passes_it_too(stage: Stage) -> None:
    session = await stage.session()
    wide = {f"field {number}": "x" for number in range(9000)}
    await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), wide)
    await stage.queue.ready.mark("acme")
    [error] = await letters(stage, 1)
    assert "no field 'message'" in error["message"]
    await hold(stage, TenantState.PAUSED)
    await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), wide)
    states = TenantStates(stage.redis, stage.keys, 100)
    await states.change_state("acme", TenantState.DRAINING, drain=DrainMode.DISCARD)
    await eventually("the tenant is drained", lambda: states.advance("acme", []), lambda state: state == "drained")
    await states.change_state("acme", TenantState.ACTIVE)
    await states.advance("acme", [])
    await stage.queue.ready.mark("acme")
    await letters(stage, 2)
    assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED


async def test_an_entry_with_the_id_of_a_queued_task_is_a_dead_letter_and_the_task_runs(stage: Stage) -> None:
    turns = await three(stage)
    await stage.redis.xadd(stage.keys.lane("acme", Lane.LOW), {"task_id": turns.damaged, "message": "{}"})
    await others_complete(stage, turns)
    assert (await stage.ended(turns.sessions[1], turns.turns[1])).status is TaskStatus.COMPLETED
    await letters(stage, 1)


async def test_an_entry_with_the_id_of_a_task_that_has_ended_is_a_dead_letter(stage: Stage) -> None:
    session = await stage.session()
    said = await stage.say(session, "say a")
    assert (await stage.ended(session, said)).status is TaskStatus.COMPLETED
    await stage.redis.xadd(stage.keys.lane("acme", Lane.LOW), {"task_id": said.task_id, "message": "{}"})
    await stage.queue.ready.mark("acme")
    await letters(stage, 1)


def every_handler(services: QueueServices, _: Stores) -> Mapping[str, TaskHandler]:
    """Kinds whose payload is looked at before anything else."""

    async def look(running: RunningTask) -> None:
        assert await read_or_dead_letter(services, running) is None

    kinds = ("tool.execute", "batch.item", "workflow.execute", "webhook.deliver", "delegation.cancel")
    return dict.fromkeys(kinds, look)


async def test_a_handler_with_a_bug_has_its_attempts_and_no_more(redis_url: str) -> None:
    attempts: list[int] = []

    async def crash(running: RunningTask) -> None:
        attempts.append(running.claim.attempt)
        raise LookupError("a bug")

    async with open_stage(redis_url, QUICK, handlers=lambda *_: {"tool.execute": crash}) as stage:
        session = await stage.session()
        payload = {"tool_id": "a", "parameters": {}, "timeout_ms": 1000}
        await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), {"message": entry("tool.execute", payload)})
        await stage.queue.ready.mark("acme")
        [error] = await letters(stage, 1)
        assert (error["code"], attempts) == ("ORCH_SYS_001", [1, 2])
        assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED
        assert await repaired(stage, "acme") == []


async def test_a_delayed_task_that_can_not_be_released_holds_up_no_other(stage: Stage) -> None:
    sessions = [await stage.session() for _ in range(2)]
    waiting = [await stage.say(session, "tool 300") for session in sessions]
    for session, accepted in zip(sessions, waiting, strict=True):
        await stage.becomes(session, accepted, TaskStatus.WAITING)
    await stage.redis.hset(stage.keys.task("acme", waiting[0].task_id), "waiting_for", "{torn")
    await eventually(
        "the other turn goes on",
        lambda: stage.status(sessions[1], waiting[1]),
        lambda status: status.value == "completed",
    )


async def test_a_damaged_batch_does_not_hold_up_the_end_of_its_item(redis_url: str) -> None:
    async def end(services: QueueServices, running: RunningTask) -> None:
        await end_alone(services, running.claim, TaskStatus.COMPLETED, result=b"{}")

    def handlers(services: QueueServices, _: Stores) -> Mapping[str, TaskHandler]:
        return {"batch.item": partial(end, services)}

    async with open_stage(redis_url, QUICK, handlers=handlers) as stage:
        await stage.session()
        batch_id = new_id()
        await stage.redis.hset(stage.keys.batch("acme", batch_id), mapping={"status": "running", "completed": "many"})
        await stage.redis.sadd(stage.keys.batch("acme", batch_id) + ":window", "0")
        await stage.redis.zadd(stage.keys.batches("acme"), {batch_id: 1})
        item = entry("batch.item", {"agent_id": "a", "content": "b", "message_id": "c"}, task_id=f"{batch_id}.0")
        await stage.redis.xadd(stage.keys.lane("acme", Lane.LOW), {"message": item})
        await stage.queue.ready.mark("acme")
        key = stage.keys.task("acme", f"{batch_id}.0")
        await eventually("the item ends", lambda: stage.redis.hget(key, "status"), lambda one: one == b"completed")
        assert [fault.kind for fault in await repaired(stage, "acme")] == [ViolationKind.BATCH_DAMAGED]
        assert await repaired(stage, "acme") == []


async def test_a_key_of_the_wrong_type_is_put_aside_and_the_rest_is_looked_at_then(stage: Stage) -> None:
    await stage.session()
    await stage.redis.set(stage.keys.lane("acme", Lane.HIGH), "x")
    assert [fault.kind for fault in await repaired(stage, "acme")] == [ViolationKind.KEY_DAMAGED]
    assert await repaired(stage, "acme") == []
    aside = stage.keys.damaged("acme", stage.keys.lane("acme", Lane.HIGH))
    assert 0 < await stage.redis.ttl(aside) <= 86_400


_FIELDS = st.sampled_from(
    ["status", "attempt", "lane", "entry", "message", "type", "session_id", "correlation_id", "created_at", "steps"]
) | st.sampled_from(
    ["user_id", "state", "offset", "epoch", "metadata", "active_task_id", "expires_at", "task_id", "failures", "cancel"]
)
_DAMAGE = st.tuples(
    st.sampled_from(["task", "session", "turns", "events", "history", "entry"]),
    st.integers(0, 3),
    _FIELDS,
    st.sampled_from(["drop", "replace", "retype", *ODD]),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=st.lists(_DAMAGE, min_size=1, max_size=4))
def test_whatever_is_damaged_of_one_tenant_the_others_work_goes_on(
    redis_url: str, damages: list[tuple[str, int, str, str | bytes]]
) -> None:
    trio.run(_survives, redis_url, damages)


async def _survives(redis_url: str, damages: list[tuple[str, int, str, str | bytes]]) -> None:
    bad, good = f"bad-{new_id()}", f"good-{new_id()}"
    async with open_stage(redis_url, QUICK) as stage:
        sessions = [await stage.session(context(bad)) for _ in range(2)]
        sound = await stage.session(context(good))
        await TenantStates(stage.redis, stage.keys, 100).change_state(bad, TenantState.PAUSED)
        turns = [await stage.say(sessions[place % 2], "say a") for place in range(4)]
        for what, place, field, how in damages:
            await _damage(stage, bad, (what, turns[place].task_id, sessions[place % 2].session_id), field, how)
        await TenantStates(stage.redis, stage.keys, 100).change_state(bad, TenantState.ACTIVE)
        await stage.queue.ready.mark(bad)
        for _ in range(3):
            assert (await stage.ended(sound, await stage.say(sound, "say b"))).status is TaskStatus.COMPLETED
        for accepted in turns:
            await eventually("the turn has ended, or is told", partial(_is_told, stage, bad, accepted.task_id))
        assert stage.consumer.alive
        checker = checker_of(stage)
        await checker.repair(await checker.audit(bad))
        assert (await stage.ended(sound, await stage.say(sound, "say c"))).status is TaskStatus.COMPLETED


async def _damage(stage: Stage, tenant: str, of: tuple[str, str, str], field: str, how: str | bytes) -> None:
    what, task_id, session_id = of
    if what == "entry":
        odd = {field: b"x", "message": how, "task_id": task_id if how == "replace" else "x"}
        await stage.redis.xadd(stage.keys.lane(tenant, Lane.HIGH), odd)
        return
    key: str = getattr(stage.keys, what)(tenant, task_id if what == "task" else session_id)
    if how == "retype" or what not in {"task", "session"}:
        await stage.redis.gather([("DEL", key), ("SET", key, "x")])
    elif await stage.redis.execute_command("TYPE", key) == b"hash":
        value = b"damaged" if how == "replace" else how
        await (stage.redis.hdel(key, field) if how == "drop" else stage.redis.hset(key, field, value))


async def _is_told(stage: Stage, tenant: str, task_id: str) -> bool:
    """Whether a task has ended, is among the dead letters, or is something of which `doctor` speaks."""
    dead = await stage.redis.xrange(stage.keys.dead_letters(tenant))
    if any(fields.get(b"task_id") == task_id.encode() for _, fields in dead):
        return True
    key = stage.keys.task(tenant, task_id)
    if await stage.redis.execute_command("TYPE", key) == b"hash":
        status = await stage.redis.hget(key, "status")
        if status in {b"completed", b"failed", b"cancelled"}:
            return True
    return not (await checker_of(stage).audit(tenant)).balances


async def test_a_message_whose_moment_can_not_be_read_is_a_dead_letter(stage: Stage) -> None:
    turns = await three(stage)
    key = stage.keys.task("acme", turns.damaged)
    message = orjson.loads(await stage.redis.hget(key, "message"))
    await stage.redis.hset(key, "message", orjson.dumps(message | {"created_at": "x"}))
    await others_complete(stage, turns)
    [error] = await letters(stage, 1)
    assert error["details"][0]["path"] == "$.created_at"
