"""The table of task kinds."""

from typing import Any

import orjson
import pytest
from attrs import evolve

from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.task import Lane, Task, TaskStatus
from orchestrator.queue.tasks import KNOWN_KINDS, TASK_KINDS
from orchestrator.queue.tasks.batch_items import batch_item
from orchestrator.services.chat.turn_task import CHAT_TURN
from orchestrator.services.tasks.task_kinds import TaskKind, TaskKinds
from tests.queue.stage import Stage, context, open_stage
from tests.support.eventually import eventually


def test_every_kind_has_a_type_of_its_own_and_a_priority() -> None:
    assert len(KNOWN_KINDS.by_name) == len(TASK_KINDS)
    assert all(0 <= one.kind.priority <= 9 for one in TASK_KINDS)


def test_two_kinds_of_one_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two kinds of tasks have the type chat\.message"):
        TaskKinds.of([CHAT_TURN, evolve(CHAT_TURN, priority=2)])


def test_a_kind_is_found_by_its_type_and_an_unknown_one_keeps_its_session() -> None:
    assert KNOWN_KINDS.named("chat.message") is CHAT_TURN
    assert KNOWN_KINDS.named("of.tomorrow") == TaskKind(MessageType("of", "tomorrow"), in_session=True)


def test_callbacks_alone_hold_up_no_drain() -> None:
    assert KNOWN_KINDS.passed_over_by_drains == ("webhook.deliver",)


def written(session: Session, name: str, payload: dict[str, Any]) -> dict[str, Any]:
    domain, _, action = name.partition(".")
    return {
        "message_id": new_id(),
        "task_id": new_id(),
        "tenant_id": session.tenant_id,
        "session_id": session.session_id,
        "correlation_id": new_id(),
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "type": {"domain": domain, "action": action},
        "metadata": {"user_id": session.user_id},
        "payload": payload,
    }


async def ended(stage: Stage, message: dict[str, Any]) -> Task:
    """Write a message into a lane by hand, and return its task when that has ended."""
    await stage.redis.xadd(stage.keys.lane("acme", Lane.NORMAL), {"message": orjson.dumps(message)})
    await stage.queue.ready.mark("acme")
    ends = {TaskStatus.COMPLETED, TaskStatus.FAILED}
    [task] = await eventually(
        "the task has ended",
        lambda: stage.tasks.store.load("acme", [message["task_id"]]),
        lambda found: found and found[0].status in ends,
    )
    return task


async def test_a_plain_task_leaves_the_session_of_its_message_alone(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        payload = {"agent_id": "echo", "content": "say hello", "message_id": "m1"}
        task = await ended(stage, written(session, str(batch_item.kind), payload))
        assert task.status is TaskStatus.COMPLETED
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.CREATED
        assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED


async def test_a_session_is_told_of_a_task_of_an_unknown_kind(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        task = await ended(stage, written(session, "of.tomorrow", {}))
        assert task.error is not None
        assert task.error.message == "Nothing here runs tasks of the type 'of.tomorrow'."
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ERROR
        assert (await stage.ended(session, await stage.say(session, "say b"))).status is TaskStatus.COMPLETED
