"""Entries that other services wrote into a lane by hand."""

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
import pytest

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Lane, TaskStatus
from tests.queue.stage import Stage, context, open_stage
from tests.support.eventually import eventually

PLAN: Final = {"plan": {"calls": {"a": {"service": "conversation", "operation": "create_conversation"}}}}


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


def message(session: Session, content: str, **fields: Any) -> dict[str, Any]:
    return {
        "message_id": new_id(),
        "task_id": new_id(),
        "tenant_id": session.tenant_id,
        "session_id": session.session_id,
        "correlation_id": new_id(),
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "type": {"domain": "chat", "action": "message"},
        "metadata": {"user_id": session.user_id},
        "payload": {"content": content},
        **fields,
    }


async def write(stage: Stage, content: Any, lane: Lane = Lane.NORMAL) -> None:
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    await stage.redis.xadd(stage.keys.lane("acme", lane), {"message": raw})
    await stage.queue.ready.mark("acme")


async def task_of(stage: Stage, session: Session, written: dict[str, Any]) -> TaskStatus:
    accepted = ChatAccepted(written["task_id"], written["message_id"], session.session_id)
    await eventually("the entry is a task", lambda: stage.redis.exists(stage.keys.task("acme", written["task_id"])))
    return (await stage.ended(session, accepted)).status


async def dead_letters(stage: Stage, count: int = 1) -> list[dict[bytes, bytes]]:
    letters = await eventually(
        f"there are {count} dead letters",
        lambda: stage.redis.xrange(stage.keys.dead_letters("acme")),
        lambda letters: len(letters) >= count,
    )
    return [fields for _, fields in letters]


@pytest.mark.parametrize("old", [False, True], ids=["1.1", "1.0"])
async def test_a_valid_message_becomes_a_task_of_its_session(stage: Stage, *, old: bool) -> None:
    session = await stage.session()
    written = message(session, "say by hand")
    if old:
        del written["schema_version"]
        written["data"] = written.pop("payload")
    await write(stage, written)
    assert await task_of(stage, session, written) is TaskStatus.COMPLETED
    assert stage.turns.ended == ["say by hand"]
    assert await stage.redis.xlen(stage.keys.lane("acme", Lane.NORMAL)) == 0
    assert (await stage.sessions.get(context(), session.session_id)).active_task_id is None


async def test_a_message_waits_for_the_turns_that_its_session_has_already(stage: Stage) -> None:
    session = await stage.session()
    first = await stage.say(session, "hold a")
    await stage.turns.running.wait()
    written = message(session, "say b")
    await write(stage, written)
    await eventually("the message waits", lambda: stage.redis.llen(stage.keys.turns("acme", session.session_id)))
    assert stage.turns.began == ["hold a"]
    stage.turns.release.set()
    await stage.ended(session, first)
    assert await task_of(stage, session, written) is TaskStatus.COMPLETED


async def test_the_same_message_twice_is_one_task_and_one_dead_letter(stage: Stage) -> None:
    session = await stage.session()
    written = message(session, "say once")
    await write(stage, written)
    await task_of(stage, session, written)
    await write(stage, written)
    [letter] = await dead_letters(stage)
    assert b"is the id of another task" in letter[b"error"]
    assert stage.turns.ended == ["say once"]


@pytest.mark.parametrize("kind", [{"domain": "conversation", "action": "update"}, "conversation.update"])
@pytest.mark.parametrize("sender", ["conversation_service", "conversation-service", "conversation"])
async def test_news_of_a_conversation_is_no_task_and_no_dead_letter(stage: Stage, kind: Any, sender: str) -> None:
    session = await stage.session()
    told = message(session, "", type=kind, source_service=sender, payload={"conversation_id": "c", "tokens": 9})
    await write(stage, told)
    await write(stage, {**told, "source_service": "workflow_engine", "task_id": new_id()})
    letters = await dead_letters(stage)
    assert [b"conversation.update" in letter[b"error"] for letter in letters] == [True]
    assert await stage.redis.xlen(stage.keys.lane("acme", Lane.NORMAL)) == 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"schema_version": "3.0"}, "$.schema_version must be 1.x, such as 1.1"),
        ({"tenant_id": "globex"}, "$.tenant_id is not the tenant of the queue"),
        ({"session_id": "nobody"}, "$.session_id names a session that is not there"),
        ({"metadata": {"user_id": "bob"}}, "$.session_id names a session that is not there, or not the user's"),
        (
            {"metadata": {"user_id": "bob"}, "type": {"domain": "workflow", "action": "execute"}, "payload": PLAN},
            "$.session_id names a session that is not there, or not the user's",
        ),
        ({"session_id": None}, "A chat turn belongs to a session"),
        ({"payload": {}}, "$.payload.content required field is missing"),
        ({"payload": {"content": "a", "colour": 1}}, "$.payload.colour is not a field of a turn"),
        ({"priority": 11}, "$.priority must be at most 9"),
        ({"surprise": 1}, "$.surprise is not a field"),
        ({"payload": {"content": "a" * 2_097_152}}, "at most 1048576 are taken"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
async def test_a_poisoned_message_is_a_dead_letter_with_its_reason_and_blocks_nothing(
    stage: Stage, spoil: dict[str, Any], reason: str
) -> None:
    session = await stage.session()
    await write(stage, message(session, "say a") | spoil)
    [letter] = await dead_letters(stage)
    assert reason in orjson.loads(letter[b"error"])["message"]
    assert len(letter[b"message"]) <= 4096
    assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED


async def test_an_entry_without_a_message_is_a_dead_letter(stage: Stage) -> None:
    session = await stage.session()
    await write(stage, b"{torn")
    await write(stage, [1, 2])
    await stage.redis.xadd(stage.keys.lane("acme", Lane.LOW), {"what": "is this"})
    await stage.queue.ready.mark("acme")
    letters = await dead_letters(stage, 3)
    told = " ".join(orjson.loads(letter[b"error"])["message"] for letter in letters)
    assert "not JSON" in told
    assert "not an object" in told
    assert "no field 'message', but what" in told
    assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED


async def test_names_of_any_length_are_cut_in_a_dead_letter(stage: Stage) -> None:
    await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), {"task_id": "a" * 100_000, "b" * 100_000: "c"})
    await stage.queue.ready.mark("acme")
    [letter] = await dead_letters(stage)
    assert letter[b"task_id"] == b"a" * 200
    assert len(letter[b"error"]) < 1000


@pytest.mark.parametrize(("limits", "quota"), [({"queue_length": 1}, "queue_length"), ({"bytes": 150_000}, "bytes")])
async def test_an_entry_over_a_quota_goes_to_the_dead_letters_with_the_name_of_the_quota(
    stage: Stage, limits: dict[str, int], quota: str
) -> None:
    session, other = await stage.session(), await stage.session()
    running = await stage.say(session, "hold a")
    await stage.turns.running.wait()
    config = stage.keys.tenant_config("acme")
    await stage.redis.hset(config, mapping=limits)
    await write(stage, message(other, "say " + "x" * (200_000 if quota == "bytes" else 1)))
    [(_, letter)] = await eventually(
        "the entry is a dead letter", lambda: stage.redis.xrange(stage.keys.dead_letters("acme")), bool
    )
    error = orjson.loads(letter[b"error"])
    assert (error["code"], [one["path"] for one in error["details"]]) == ("ORCH_RATE_004", [quota])
    stage.turns.release.set()
    assert (await stage.ended(session, running)).status is TaskStatus.COMPLETED
    await stage.redis.hdel(config, quota)
    following = message(other, "say b")
    await write(stage, following)
    await eventually(
        "the next entry has run",
        lambda: stage.redis.hget(stage.keys.task("acme", following["task_id"]), "status"),
        lambda status: status == b"completed",
    )


async def test_news_that_wait_for_their_call_hold_up_no_other_tenant(stage: Stage) -> None:
    session, other = await stage.session(), await stage.session(context("globex"))
    lane, redis = stage.keys.lane("acme", Lane.NORMAL), stage.redis
    await stage.say(session, "hold a")
    await stage.turns.running.wait()
    working = await stage.sessions.get(context(), session.session_id)
    await write(stage, b"no message")
    await dead_letters(stage)
    await write(stage, message(session, "", type="tool.status", task_id=working.active_task_id))
    await eventually("it is claimed", lambda: redis.xpending(lane, "orchestrator"), lambda found: found["pending"])
    await stage.ended(other, await stage.say(other, "say meanwhile"))
    assert await redis.xlen(lane) == 1
    _, letter = await dead_letters(stage, 2)
    assert b"no work of this name" in letter[b"error"]
