"""What the record and the log of a workflow's task hold, however it ends."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from attrs import frozen

from orchestrator.codec import decode
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import WORKFLOW_EVENTS
from orchestrator.models.plans.workflow import WorkflowStatusUpdate
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskMetadata, TaskStatus
from orchestrator.queue.worker.expiry import _expiry
from orchestrator.services.workflows.workflow_records import (
    STATUS_UPDATE,
    begun,
    status_body,
    status_note,
    workflow_record,
)
from orchestrator.services.workflows.workflow_task import WORKFLOW
from orchestrator.store.events.events import TaskLog
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.plans.workflows import Note, WorkflowStore
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.admission import Verdict
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.plain_tasks import PlainTaskStore, TaskBounds
from orchestrator.store.tasks.tasks import Retention, TaskStore
from tests.support.eventually import eventually

ANN = Viewer("acme", "ann", sees_whole_tenant=False)
RETENTION = Retention(600, 600, 10, 600)


def a_message(**payload: Any) -> TaskMessage:
    return TaskMessage(
        message_id=new_id(),
        task_id=new_id(),
        tenant_id="acme",
        correlation_id=new_id(),
        created_at=to_timestamp(now_ms()),
        type=WORKFLOW.type,
        metadata=TaskMetadata("ann"),
        payload=payload,
    )


@frozen
class Shelf:
    """The stores that a workflow passes through."""

    redis: Redis
    generic: PlainTaskStore
    tasks: TaskStore
    workflows: WorkflowStore

    async def admit(self, message: TaskMessage, **record: str) -> None:
        event = (STATUS_UPDATE, status_body(begun(message), "acme", message.correlation_id))
        admission = await self.generic.admit(
            message,
            lane=Lane.HIGH,
            event=event,
            bounds=TaskBounds(600, expire_ms=1),
            record={**workflow_record(message), **record},
        )
        assert admission.verdict is Verdict.OK

    async def claim(self) -> Claim:
        """Claim the one task that waits."""
        (claim,) = (await self.tasks.claim("acme", "node-1", 10)).claims
        return claim

    async def told(self, task_id: str) -> list[WorkflowStatusUpdate]:
        """Return everything that followers heard, which must be as it is described."""
        events = await TaskLog(self.redis, self.generic.keys).read("acme", task_id, after=0)
        bodies = [orjson.loads(event.body) for event in events]
        assert all(body["created_at"].endswith("Z") and body["message_id"] for body in bodies)
        assert all(f"{body['type']['domain']}.{body['type']['action']}" in WORKFLOW_EVENTS for body in bodies)
        return [decode(orjson.dumps(body["data"]), WorkflowStatusUpdate) for body in bodies]


@pytest.fixture
async def shelf(redis_url: str) -> AsyncIterator[Shelf]:
    async with open_redis(redis_url) as redis:
        shared = (redis, Keys(), 1000, LimitDefaults({"queue_length": "10", "bytes": ""}))
        yield Shelf(redis, PlainTaskStore(*shared), TaskStore(*shared), WorkflowStore(*shared))


@pytest.mark.parametrize("payload", [{"workflow_id": "w"}, {"plan": {"calls": {"a": {}, "b": {}}}}])
async def test_an_end_without_a_worker_is_told_with_how_far_it_was(shelf: Shelf, payload: dict[str, Any]) -> None:
    message = a_message(**payload)
    await shelf.admit(message)
    claim = await shelf.claim()
    update = WorkflowStatusUpdate(message.task_id, "w", TaskStatus.PROCESSING, 0.5, 1, 2, "a", 'say "%1" to @task')
    note = status_note(update, "acme", message.correlation_id)
    await shelf.workflows.note(claim, 1, note)
    await shelf.workflows.note(claim, 1, note)
    await shelf.tasks.hand_back(claim)
    cancelled = await shelf.tasks.cancel(
        ANN, message.task_id, correlation_id="c", status_template=b"", state_body=b"", retention=RETENTION
    )
    assert cancelled[0] == "done"
    first, middle, last = await shelf.told(message.task_id)
    assert (first.status, middle) == (TaskStatus.PENDING, update)
    assert (last.status, last.task_id, last.workflow_id) == (TaskStatus.CANCELLED, message.task_id, first.workflow_id)
    assert (last.progress, last.steps_completed, last.steps_total) == (0.5, 1, 2)
    assert (last.current_step, last.status_message) == (None, 'say "%1" to @task')


async def test_a_workflow_not_started_in_time_fails_and_its_followers_are_told(shelf: Shelf) -> None:
    message = a_message(workflow_id="w")
    await shelf.admit(message)
    given_up, _ = await eventually(
        "the workflow is given up",
        lambda: shelf.tasks.expire("acme", 10, _expiry("acme"), RETENTION),
        lambda expired: expired[0],
    )
    assert given_up == 1
    assert [update.status for update in await shelf.told(message.task_id)] == [TaskStatus.PENDING, TaskStatus.FAILED]
    task = await shelf.tasks.get(ANN, message.task_id)
    assert task is not None
    assert task.error is not None
    assert (task.status, task.error.code) == (TaskStatus.FAILED, "ORCH_EXEC_003")
    assert await shelf.redis.xlen(shelf.generic.keys.dead_letters("acme")) == 1


async def test_notes_from_outside_the_worker_count_until_the_end(shelf: Shelf) -> None:
    message = a_message(workflow_id="w")
    await shelf.admit(message)
    assert not await shelf.workflows.tell("acme", "unknown", Note({"a": b"1"}))
    assert await shelf.workflows.tell("acme", message.task_id, Note({"a": b"1", "b": b"2"}))
    assert await shelf.workflows.tell("acme", message.task_id, Note({"a": b""}))
    kept = await shelf.workflows.get(ANN, message.task_id)
    assert kept is not None
    assert ("a" in kept.fields, kept.fields["b"]) == (False, b"2")
    assert await shelf.workflows.keep_step("acme", message.task_id, "step:s", b"1") == b"1"
    assert await shelf.workflows.keep_step("acme", message.task_id, "step:s", b"2") == b"1"
    await shelf.tasks.cancel(
        ANN, message.task_id, correlation_id="c", status_template=b"", state_body=b"", retention=RETENTION
    )
    assert not await shelf.workflows.tell("acme", message.task_id, Note({"c": b"3"}))
    assert await shelf.workflows.keep_step("acme", message.task_id, "step:t", b"1") is None


async def test_an_answer_takes_the_question_back_unless_there_is_newer_progress(shelf: Shelf) -> None:
    message = a_message(workflow_id="w")
    await shelf.admit(message)
    asking = orjson.dumps({"input_request": {"node_id": "n", "prompt": "?", "schema": {"enum": []}}})
    body = status_body(begun(message), "acme", message.correlation_id)
    await shelf.workflows.tell("acme", message.task_id, Note({"progress": asking}))
    before = await shelf.workflows.get(ANN, message.task_id)
    assert before is not None
    assert before.progress.input_request is not None
    await shelf.workflows.tell("acme", message.task_id, Note({"progress": asking}, [(STATUS_UPDATE, body)]))
    assert not await shelf.workflows.take_input(before, (STATUS_UPDATE, body))
    again = await shelf.workflows.get(ANN, message.task_id)
    assert again is not None
    assert await shelf.workflows.take_input(again, (STATUS_UPDATE, body))
    after = await shelf.workflows.get(ANN, message.task_id)
    assert after is not None
    assert after.progress.input_request is None
