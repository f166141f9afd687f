"""Replays of ended tasks and dead letters, and transfers of queued work."""

from collections.abc import AsyncIterator

import orjson
import pytest
import trio
from attrs import evolve

from orchestrator.domain.tasks.replays import calls_before, changed
from orchestrator.errors import (
    IdempotencyKeyReused,
    InvalidBody,
    InvalidParameter,
    NotFound,
    PermissionMissing,
    QueueFull,
    SessionClosed,
    TaskUnfinished,
    TenantDraining,
)
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.audit import AuditKind
from orchestrator.models.operations.tenant import DrainMode, DrainRequest, TenantSettings, TenantState
from orchestrator.models.operations.transfer import Imported, TransferItem, TransferKind
from orchestrator.models.sessions.chat import ChatAccepted, ChatTurn
from orchestrator.models.tasks.replay import (
    DeadLetterChoice,
    DeadLetterReplay,
    DeadLettersPurged,
    DeadLettersReplayed,
    Replayed,
    ReplayRequest,
)
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.services.operations.dead_letters import DeadLetterFilter
from tests.queue.operations import Desk, open_desk, operator
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.audited import audited


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, evolve(SETTINGS, task_retries=0)) as stage:
        yield stage


@pytest.fixture
def desk(stage: Stage) -> Desk:
    return open_desk(stage)


async def finished(stage: Stage, task_id: str) -> TaskStatus:
    task = await stage.tasks.get(operator(), task_id)
    session = await stage.sessions.get(operator(), str(task.session_id))
    return (await stage.ended(session, ChatAccepted(task_id, str(task.message_id), session.session_id))).status


async def test_a_replay_is_a_new_task_with_the_same_input_and_the_original_stays(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    first = await stage.ended(session, await stage.say(session, "say a"))
    replayed, _ = await desk.replays.replay_own(operator(), first.task_id, ReplayRequest())
    assert await finished(stage, str(replayed.task_id)) is TaskStatus.COMPLETED
    again = await stage.tasks.get(context(), str(replayed.task_id))
    assert (again.replay_of, again.user_id, again.session_id) == (first.task_id, "ann", session.session_id)
    original = await stage.tasks.get(context(), first.task_id)
    assert (original.status, original.result, original.replayed_as) == (first.status, first.result, again.task_id)
    assert stage.turns.ended == ["say a", "say a"]
    assert (await audited(stage.redis))[0].action == "task.replay"


async def test_a_replay_can_be_replayed(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    task_id = (await stage.ended(session, await stage.say(session, "say a"))).task_id
    for _ in range(2):
        replayed, _ = await desk.replays.replay_own(operator(), task_id, ReplayRequest())
        task_id = str(replayed.task_id)
        assert await finished(stage, task_id) is TaskStatus.COMPLETED
    assert stage.turns.ended == ["say a"] * 3


async def test_a_replay_may_change_its_input_and_a_dry_run_only_tells(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    first = await stage.ended(session, await stage.say(session, "say a"))
    request = ReplayRequest({"payload.content": "say b", "priority": 5}, dry_run=True)
    dry, _ = await desk.replays.replay_own(operator(), first.task_id, request)
    assert (dry.task_id, dry.input["content"], dry.priority) == (None, "say b", 5)
    assert stage.turns.began == ["say a"]
    done, _ = await desk.replays.replay_own(operator(), first.task_id, evolve(request, dry_run=False))
    assert await finished(stage, str(done.task_id)) is TaskStatus.COMPLETED
    assert stage.turns.ended == ["say a", "say b"]


async def test_a_replay_takes_its_place_behind_the_turns_of_its_session(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    first = await stage.ended(session, await stage.say(session, "say a"))
    stage.turns.running = trio.Event()
    running = await stage.say(session, "hold b")
    await stage.turns.running.wait()
    replayed, _ = await desk.replays.replay_own(operator(), first.task_id, ReplayRequest())
    assert stage.turns.began == ["say a", "hold b"]
    with pytest.raises(TaskUnfinished):
        await desk.replays.replay_own(operator(), running.task_id, ReplayRequest())
    stage.turns.release.set()
    assert await finished(stage, str(replayed.task_id)) is TaskStatus.COMPLETED
    assert stage.turns.ended == ["say a", "hold b", "say a"]


async def test_what_can_not_be_replayed_is_refused(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "say a"))
    replay = desk.replays.replay_own
    with pytest.raises(NotFound):
        await replay(operator(), "nothing", ReplayRequest())
    with pytest.raises(PermissionMissing):
        await replay(context(), task.task_id, ReplayRequest())
    wrong = {"task_id": "x", "payload.content": "", "payload.content.x": 1, "payload.colour": 1, "priority": 10}
    for changes in ({path: value} for path, value in wrong.items()):
        with pytest.raises(InvalidBody):
            await replay(operator(), task.task_id, ReplayRequest(changes))
    with pytest.raises(InvalidBody):
        await replay(operator(), task.task_id, ReplayRequest(from_call="nonsense"))
    await desk.tenants.change(operator(), "acme", TenantState.DRAINING)
    with pytest.raises(TenantDraining):
        await replay(operator(), task.task_id, ReplayRequest())
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    await stage.sessions.close(context(), session.session_id)
    with pytest.raises(SessionClosed):
        await replay(operator(), task.task_id, ReplayRequest())


async def test_a_replay_from_a_call_on_takes_over_what_was_done_before_it(stage: Stage, desk: Desk) -> None:
    await stage.session()
    message = {
        "message_id": "m1", "task_id": "t1", "tenant_id": "acme", "correlation_id": "c1",
        "created_at": "2026-01-01T00:00:00.000Z", "type": {"domain": "plan", "action": "run"},
        "metadata": {"user_id": "ann"}, "payload": {"x": 1},
    }  # fmt: skip
    record = {"task_id": "t1", "message": orjson.dumps(message), "status": "failed", "user_id": "ann"}
    done = {"checkpoint:z": "1", "checkpoint:a": "2", "order:z": 1, "order:a": 2}
    await stage.redis.hset(stage.keys.task("acme", "t1"), mapping=record | done)
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    replayed = await desk.replays.replay(operator(), "acme", "t1", ReplayRequest(from_call="a"))
    kept = await stage.redis.hgetall(stage.keys.task("acme", str(replayed.task_id)))
    assert (replayed.reused, kept[b"checkpoint:z"], b"checkpoint:a" in kept) == (["z"], b"1", False)
    failed = await desk.replays.replay(operator(), "acme", "t1", ReplayRequest(from_call="failed", dry_run=True))
    assert failed.reused == ["z", "a"]


async def letters_of(stage: Stage, count: int) -> list[str]:
    names = []
    for number in range(count):
        session = await stage.session()
        names.append((await stage.ended(session, await stage.say(session, f"fail {number}"))).task_id)
    return names


async def test_dead_letters_are_listed_by_code_and_age_in_pages(stage: Stage, desk: Desk) -> None:
    tasks = await letters_of(stage, 3)
    page = await desk.letters.list("acme", wanted=DeadLetterFilter("ORCH_CONN_002"), cursor=None, limit=2)
    assert [one.task_id for one in page.items] == tasks[:0:-1]
    first = page.items[0]
    assert (first.type, first.attempts, first.error.code) == ("chat.message", 1, "ORCH_CONN_002")
    rest = await desk.letters.list("acme", cursor=page.next_cursor, limit=2)
    assert ([one.task_id for one in rest.items], rest.next_cursor) == (tasks[:1], None)
    moment = first.at
    nothing = (
        DeadLetterFilter("ORCH_X"), DeadLetterFilter(older_than=3600), DeadLetterFilter(type="batch.item"),
        DeadLetterFilter(user_id="bob"), DeadLetterFilter(until="2026-01-01T00:00:00Z"),
        DeadLetterFilter(replayed=True),
    )  # fmt: skip
    for wanted in nothing:
        assert (await desk.letters.list("acme", wanted=wanted, cursor=None, limit=5)).items == []
    same = DeadLetterFilter(type="chat.message", user_id="ann", since=moment)
    assert first in (await desk.letters.list("acme", wanted=same, cursor=None, limit=5)).items
    with pytest.raises(NotFound):
        await desk.letters.list("unknown", cursor=None, limit=5)
    with pytest.raises(InvalidParameter):
        await desk.letters.list("acme", cursor="nonsense", limit=5)


async def test_dead_letters_are_replayed_once_unless_again_is_asked_for(stage: Stage, desk: Desk) -> None:
    await letters_of(stage, 2)
    dry, _ = await desk.letters.replay(operator(), "acme", DeadLetterReplay(dry_run=True))
    assert (dry.replayed, dry.dry_run, stage.turns.began.count("fail 0")) == (2, True, 1)
    outcome, _ = await desk.letters.replay(operator(), "acme", DeadLetterReplay(rate=1000.0))
    assert (outcome.replayed, outcome.refused, outcome.more) == (2, 0, False)
    for one in outcome.items:
        assert await finished(stage, str(one.task_id)) is TaskStatus.FAILED
    named = DeadLetterReplay([outcome.items[0].id])
    before, _ = await desk.letters.replay(operator(), "acme", named)
    assert (before.replayed, before.items[0].replayed_before) == (0, True)
    assert before.items[0].task_id == outcome.items[0].task_id
    again, _ = await desk.letters.replay(operator(), "acme", evolve(named, again=True))
    assert (again.replayed, again.items[0].replayed_before) == (1, False)


async def test_a_request_that_is_sent_again_goes_on_where_the_first_one_ended(
    stage: Stage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.services.operations.dead_letters.REPLAYED_AT_ONCE", 2)
    await letters_of(stage, 3)
    page = await desk.letters.list("acme", cursor=None, limit=5)
    request = DeadLetterReplay([one.id for one in page.items])
    told = [(await desk.letters.replay(operator(), "acme", request))[0] for _ in range(3)]
    assert [(one.replayed, one.more) for one in told] == [(2, True), (1, False), (0, False)]


@pytest.mark.parametrize("again", [False, True])
async def test_two_replays_of_the_same_dead_letters_at_once_make_one_task_of_each(
    stage: Stage, desk: Desk, again: bool
) -> None:
    tasks = await letters_of(stage, 8)
    page = await desk.letters.list("acme", cursor=None, limit=10)
    request = DeadLetterReplay([one.id for one in page.items], again=again)
    outcomes: list[DeadLettersReplayed] = []

    async def replay() -> None:
        outcomes.append((await desk.letters.replay(operator(), "acme", request))[0])

    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(replay)
    assert sum(one.replayed for one in outcomes) == len(tasks)
    made = {one.task_id for outcome in outcomes for one in outcome.items}
    assert len(made) == len(tasks)
    for outcome in outcomes:
        assert outcome.replayed + sum(one.replayed_before for one in outcome.items) == len(tasks)
    assert await stage.redis.zcard(stage.keys.task_index("acme")) == 2 * len(tasks)


async def test_a_replay_that_is_repeated_with_its_idempotency_key_makes_one_task(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "say a"))
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    ctx = evolve(operator(), idempotency_key="order:1")
    given: list[tuple[Replayed, bool]] = []

    async def replay() -> None:
        given.append(await desk.replays.replay_own(ctx, task.task_id, ReplayRequest()))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(replay)
    await replay()
    assert given[-1][1]
    assert len({(one.task_id, one.message_id) for one, _ in given}) == 1
    assert await stage.redis.zcard(stage.keys.task_index("acme")) == 2
    with pytest.raises(IdempotencyKeyReused):
        await desk.replays.replay_own(ctx, task.task_id, ReplayRequest({"priority": 5}))


async def test_dead_letters_are_replayed_and_purged_once_for_each_idempotency_key(stage: Stage, desk: Desk) -> None:
    await letters_of(stage, 2)
    ctx, request = evolve(operator(), idempotency_key="nightly"), DeadLetterReplay(again=True)
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    first, again = [await desk.letters.replay(ctx, "acme", request) for _ in range(2)]
    assert (first[1], again[1], first[0]) == (False, True, again[0])
    with pytest.raises(IdempotencyKeyReused):
        await desk.letters.purge(ctx, "acme", DeadLetterChoice())
    clean = evolve(operator(), idempotency_key="clean")
    assert [await desk.letters.purge(clean, "acme", DeadLetterChoice()) for _ in range(2)] == [
        (DeadLettersPurged(2), False),
        (DeadLettersPurged(2), True),
    ]


async def test_a_dead_letter_that_can_not_be_replayed_says_why_and_holds_up_no_other(stage: Stage, desk: Desk) -> None:
    await letters_of(stage, 1)
    await stage.redis.xadd(stage.keys.dead_letters("acme"), {"task_id": "", "reason": "no task", "at": 1})
    outcome, _ = await desk.letters.replay(operator(), "acme", DeadLetterReplay())
    assert (outcome.replayed, outcome.refused) == (1, 1)
    [refused] = [one for one in outcome.items if one.refusal]
    assert refused.refusal is not None
    assert refused.refusal.code == "ORCH_NOTF_001"


async def test_purging_deletes_what_is_chosen(stage: Stage, desk: Desk) -> None:
    await letters_of(stage, 2)
    for choice, count in ((DeadLetterChoice(error_code="ORCH_X"), 0), (DeadLetterChoice(), 2)):
        purged, _ = await desk.letters.purge(operator(), "acme", choice)
        assert purged.purged == count
    assert (await desk.letters.list("acme", cursor=None, limit=5)).items == []


async def exported(desk: Desk) -> list[TransferItem]:
    items, cursor = [], None
    while True:
        page = await desk.transfers.export("acme", cursor=cursor, limit=2)
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items


async def test_exported_work_is_done_elsewhere_in_its_order_and_once(stage: Stage, desk: Desk) -> None:
    sessions = [await stage.session() for _ in range(3)]
    await desk.tenants.configure(operator(), "acme", TenantSettings(fair_users=True))
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    said = [(session, await stage.say(session, f"say {n}")) for n, session in enumerate([*sessions, *sessions])]
    await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DrainRequest(DrainMode.DISCARD))
    items = await exported(desk)
    assert len({item.id for item in items if item.kind is TransferKind.TASK}) == 6
    with pytest.raises(TenantDraining):
        await desk.transfers.take_in(operator(), "acme", items)
    await stage.redis.flushall()
    done = await desk.transfers.take_in(operator(), "acme", items)
    assert (done.imported, done.skipped, done.sessions) == (6, 0, 3)
    for session, accepted in said:
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
    assert [name for name in stage.turns.began if name in {"say 0", "say 3"}] == ["say 0", "say 3"]
    assert await desk.transfers.take_in(operator(), "acme", items) == Imported(0, 6, 0)


async def test_two_imports_of_the_same_work_at_once_bring_it_once(stage: Stage, desk: Desk) -> None:
    sessions = [await stage.session() for _ in range(4)]
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    for number, session in enumerate(sessions):
        await stage.say(session, f"say {number}")
    await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DrainRequest(DrainMode.DISCARD))
    items = await exported(desk)
    await stage.redis.flushall()
    await stage.redis.sadd(stage.keys.tenants, "acme")
    await stage.redis.hset(stage.keys.tenant_config("acme"), "state", "paused")
    imported: list[Imported] = []

    async def take_in() -> None:
        imported.append(await desk.transfers.take_in(operator(), "acme", items))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(take_in)
    assert sum(one.imported for one in imported) == sum(one.sessions for one in imported) == 4
    assert await stage.redis.xlen(stage.keys.lane("acme", Lane.HIGH)) == 4


async def test_a_turn_that_begins_later_does_so_elsewhere_too(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    later = to_timestamp(now_ms() + 400)
    sent = await stage.chat.send(context(), session.session_id, ChatTurn("say later", scheduled_for=later))
    await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DrainRequest(DrainMode.DISCARD))
    items = await exported(desk)
    await stage.redis.flushall()
    await desk.transfers.take_in(operator(), "acme", items)
    now = await stage.say(session, "say now")
    assert (await stage.ended(session, now)).status is TaskStatus.COMPLETED
    assert (await stage.ended(session, sent.accepted)).status is TaskStatus.COMPLETED
    assert stage.turns.ended == ["say now", "say later"]


async def test_an_import_ends_at_the_quotas_and_goes_on_when_there_is_room(stage: Stage, desk: Desk) -> None:
    sessions = [await stage.session() for _ in range(3)]
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    for session in sessions:
        await stage.say(session, "say " + "x" * 50_000)
    items = await exported(desk)
    await stage.redis.flushall()
    await stage.redis.sadd(stage.keys.tenants, "acme")
    config = {"state": "paused", "sessions": 2, "queue_length": 100, "bytes": 10**9}
    for quota, next_limits in (
        ("sessions", {"sessions": 3, "queue_length": 2}),
        ("queue_length", {"queue_length": 100, "bytes": 150_000}),
        ("bytes", {"bytes": 10**9}),
    ):
        await stage.redis.hset(stage.keys.tenant_config("acme"), mapping=config)
        with pytest.raises(QueueFull) as caught:
            await desk.transfers.take_in(operator(), "acme", items)
        assert [fault.path for fault in caught.value.details] == [quota]
        config |= next_limits
    await stage.redis.hset(stage.keys.tenant_config("acme"), mapping=config)
    done = await desk.transfers.take_in(operator(), "acme", items)
    assert (done.imported, done.skipped, done.sessions) == (1, 2, 0)
    trail = await stage.redis.xrange(stage.keys.tenant_audit("acme", AuditKind.ADMINISTRATION))
    assert [entry[b"detail"] for _, entry in trail] == [
        b"2 tasks, 0 were there; 2 sessions",
        b"0 tasks, 2 were there; 1 sessions",
        b"1 tasks, 2 were there; 0 sessions",
    ]


async def test_a_damaged_item_is_refused_before_anything_changes(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    await stage.say(session, "say a")
    items = await exported(desk)
    await stage.redis.flushall()
    for spoil in ({"message": "{"}, {"lane": "fast"}, {"message": "{}"}):
        damaged = evolve(items[-1], fields=items[-1].fields | spoil)
        with pytest.raises(InvalidBody, match="Item 1"):
            await desk.transfers.take_in(operator(), "acme", [*items[:-1], damaged])
    with pytest.raises(InvalidBody, match="not the tenant"):
        await desk.transfers.take_in(operator(), "globex", items)
    assert await stage.redis.dbsize() == 0
    with pytest.raises(NotFound):
        await desk.transfers.export("nobody", cursor=None, limit=5)


def test_changing_a_message_leaves_what_it_was_given() -> None:
    message = {"payload": {"a": [{"b": 1}]}, "task_id": "t"}
    assert changed(message, {"payload.a.0.b": 2, "payload.c.d": 3})["payload"] == {"a": [{"b": 2}], "c": {"d": 3}}
    assert message == {"payload": {"a": [{"b": 1}]}, "task_id": "t"}
    with pytest.raises(InvalidBody, match="leads nowhere"):
        changed(message, {"payload.a.7.b": 2})


def test_calls_before_one_are_in_their_order() -> None:
    assert calls_before(["b", "a", "c"], "c", complete=True) == ["b", "a"]
    assert calls_before(["b", "a"], "c", complete=False) == ["b", "a"]
    with pytest.raises(InvalidBody):
        calls_before(["b", "a"], "c", complete=True)
