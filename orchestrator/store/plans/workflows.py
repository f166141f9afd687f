"""What the records of workflows' tasks hold beside those of others, and how it is written."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from attrs import asdict, evolve, field, frozen

from orchestrator.codec import decode_kept
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.plans.workflow import WorkflowCallbackState, WorkflowEnd
from orchestrator.models.tasks.batch import CallbackStatus
from orchestrator.models.tasks.task import Task, TaskStatus
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.store.contents import CHECKPOINT, EVENT
from orchestrator.store.records import as_object, reading
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.claims import Claim, held
from orchestrator.store.tasks.task_records import read_task
from orchestrator.store.tenant_store import TenantStore

_NOTE: Final = Script("plans/note_task")
_KEEP_STEP: Final = Script("plans/keep_step")
_TAKE_INPUT: Final = Script("plans/take_input")
_WAIT_AGAIN: Final = Script("plans/wait_again")

PROGRESS: Final = "progress"
"""Field: the last news of a service that works for the workflow, JSON; see `models.task_updates.TaskProgress`."""
FIGURES: Final = "figures"
"""Field, of a plan of the user's own: how far it is, in the same form."""


_DELIVERY: Final = {
    "": CallbackStatus.WAITING,
    TaskStatus.COMPLETED: CallbackStatus.DELIVERED,
    TaskStatus.FAILED: CallbackStatus.FAILED,
    TaskStatus.CANCELLED: CallbackStatus.CANCELLED,
}
"""Where a callback stands, by the status of its task."""
_OF_RUN: Final = ("user_id", "workflow_id", "batch_id", "finished_at", "correlation_id")


@frozen
class FoundRun:
    """A task that runs a workflow."""

    task_id: str
    ended: bool
    correlation_id: str = ""


@frozen
class Note:
    """Something to keep of a task on its way, and to tell."""

    fields: Mapping[str, bytes] = field(factory=dict)
    """Of its record; empty ones are taken away."""
    events: Sequence[tuple[str, bytes]] = ()
    """Name and body of each."""
    checkpoint: str = ""
    """Name of one; empty: none."""
    result: bytes = b""
    """Of the checkpoint, JSON."""


@frozen
class WorkflowRecord:
    """A workflow's task, with what its record holds beside those of others."""

    task: Task
    workflow_id: str
    progress: TaskProgress
    """How far it is, and what it asks."""
    news: TaskProgress
    """The last news of a service that works for it."""
    offset: int
    """Of its log."""
    payload: dict[str, Any]
    """Of its message."""
    checkpoints: dict[str, Any]
    """In the order in which they were reached."""
    fields: Mapping[str, bytes]
    """The whole record."""
    of_session: str | None = None
    """The session that is told of it."""
    updated_at: str | None = None
    """When a service told of it last."""
    took_ms: Mapping[str, int] = field(factory=dict)
    """How long it took to reach each checkpoint, since what was done before it."""
    callback: WorkflowCallbackState | None = None
    """Who is told of its end."""


class WorkflowStore(TenantStore):
    """The tasks of workflows."""

    async def get(self, viewer: Viewer, task_id: str) -> WorkflowRecord | None:
        """Return a workflow; None if there is none that `viewer` may see."""
        record = await self.redis.hgetall(self.keys.task(viewer.tenant_id, task_id))
        return await self._whole(viewer.tenant_id, record) if viewer.may_see(record) else None

    async def load(self, tenant_id: str, task_id: str) -> WorkflowRecord | None:
        """Return a workflow; None if there is none."""
        return await self._whole(tenant_id, await self.redis.hgetall(self.keys.task(tenant_id, task_id)))

    async def is_workflow(self, viewer: Viewer, task_id: str) -> bool | None:
        """Tell whether a task is a workflow's; None if there is none that `viewer` may see."""
        record = await self.redis.hmget(self.keys.task(viewer.tenant_id, task_id), ("user_id", "workflow_id"))
        user_id, workflow_id = record
        if user_id is None or not viewer.may_see({b"user_id": user_id}):
            return None
        return workflow_id is not None

    async def runs_of(self, tenant_id: str, user_id: str, workflow_id: str, task_ids: Sequence[str]) -> list[FoundRun]:
        """Return those of some tasks that are a user's runs of a workflow of the Workflow Engine, in their order.

        Items of batches are none: their batch is the run.
        """
        records = await self.redis.gather(
            [("HMGET", self.keys.task(tenant_id, task_id), *_OF_RUN) for task_id in task_ids], raise_on_error=False
        )
        mine = [user_id.encode(), workflow_id.encode(), None]
        return [
            FoundRun(task_id, ended=record[3] is not None, correlation_id=(record[4] or b"").decode(errors="replace"))
            for task_id, record in zip(task_ids, records, strict=True)
            if isinstance(record, list) and record[:3] == mine
        ]

    async def _whole(self, tenant_id: str, record: Mapping[bytes, bytes]) -> WorkflowRecord | None:
        if b"workflow_id" not in record:
            return None
        told = record.get(b"callback_task")
        callback = await self.redis.hgetall(self.keys.task(tenant_id, told.decode(errors="replace"))) if told else {}
        opened = self.contents.open_record(tenant_id, "task", record)
        return _read(tenant_id, opened, self.contents.open_record(tenant_id, "task", callback))

    async def note(self, claim: Claim, number: int, note: Note) -> None:
        """Keep and tell something on behalf of a running attempt.

        Args:
            claim: the attempt.
            number: 1, 2, 3… within the attempt; one that was noted already is not noted twice.
            note: what.

        Raises:
            FencedOut: the task has been taken over.
        """
        held(await self._note(claim.tenant_id, claim.task_id, str(claim.attempt), str(number), note))

    async def tell(self, tenant_id: str, task_id: str, note: Note) -> bool:
        """Keep and tell something from outside of any attempt; false where the task is not there, or has ended."""
        return bool(await self._note(tenant_id, task_id, "", "", note))

    async def wait_again(self, claim: Claim, call_id: str) -> None:
        """Take back that a call was given up: its answer counts again, whenever it comes.

        Raises:
            FencedOut: the task has been taken over.
        """
        held(await self.run(_WAIT_AGAIN, claim.tenant_id, claim.task_id, claim.attempt, call_id))

    async def take_input(self, workflow: WorkflowRecord, event: tuple[str, bytes]) -> bool:
        """Note that what a workflow asked its user is answered; false where there are newer news of it."""
        progress = evolve(workflow.news, input_request=None)
        kept = {name: value for name, value in asdict(progress).items() if value is not None}
        task, (name, body) = workflow.task, event
        told = (
            self.contents.seal_progress(task.tenant_id, orjson.dumps(kept)),
            name,
            self.contents.seal(task.tenant_id, EVENT, body),
        )
        return bool(await self.run(_TAKE_INPUT, task.tenant_id, task.task_id, workflow.offset, *told))

    async def keep_step(self, tenant_id: str, task_id: str, name: str, result: bytes) -> bytes | None:
        """Keep the result of a step; returns the one that counts: the first. None where the task has ended."""
        sealed = self.contents.seal(tenant_id, CHECKPOINT, result)
        kept: bytes | None = await self.run(_KEEP_STEP, tenant_id, task_id, name, sealed)
        return None if kept is None else self.contents.open(tenant_id, CHECKPOINT, kept)

    async def _note(self, tenant_id: str, task_id: str, attempt: str, number: str, note: Note) -> int:
        reply: int = await self.run(
            _NOTE,
            tenant_id,
            task_id,
            attempt,
            number,
            note.checkpoint,
            self.contents.seal(tenant_id, CHECKPOINT, note.result),
            len(note.fields),
            *self.contents.seal_fields(tenant_id, "task", note.fields),
            *(part for name, body in note.events for part in (name, self.contents.seal(tenant_id, EVENT, body))),
        )
        return reply


def _read(tenant_id: str, record: Mapping[bytes, bytes], callback: Mapping[bytes, bytes]) -> WorkflowRecord:
    with reading("workflow", record.get(b"task_id", b"").decode(errors="replace")):
        text = _named(record)
        order = {name.removeprefix("order:"): int(place) for name, place in text.items() if name.startswith("order:")}
        names = [name.removeprefix("checkpoint:") for name in text if name.startswith("checkpoint:")]
        last = len(order) + 1
        return WorkflowRecord(
            task=read_task(tenant_id, record),
            workflow_id=text["workflow_id"].decode(),
            progress=read_progress(record),
            news=decode_kept(text.get(PROGRESS, b"{}"), TaskProgress),
            offset=int(text.get("offset", 0)),
            payload=as_object(as_object(orjson.loads(text["message"]))["payload"]),
            checkpoints={
                name: orjson.loads(text[f"checkpoint:{name}"])
                for name in sorted(names, key=lambda n: order.get(n, last))
            },
            fields=text,
            of_session=text["of_session"].decode() if "of_session" in text else None,
            updated_at=to_timestamp(int(text["updated_at"])) if text.get("updated_at") else None,
            took_ms=_durations(text.get("steps", b"")),
            callback=_read_callback(text, _named(callback)) if "callback_url" in text else None,
        )


def _durations(steps: bytes) -> dict[str, int]:
    """Read how long it took to reach each checkpoint, as the steps of a record tell (`lib/common/trace.lua`)."""
    found: dict[str, int] = {}
    before: int | None = None
    for line in steps.decode(errors="replace").split("\n"):
        at, _, rest = line.partition("\t")
        if not at.isdecimal():
            continue
        what, *_, detail = rest.split("\t")
        if what == "checkpoint" and before is not None:
            found[detail] = max(0, int(at) - before)
        before = int(at)
    return found


def _read_callback(text: Mapping[str, bytes], task: Mapping[str, bytes]) -> WorkflowCallbackState:
    """Read who is told of a workflow's end, by its record and that of the task that tells, once there is one."""
    status = _DELIVERY.get(task.get("status", b"").decode(), CallbackStatus.DELIVERING)
    fault, claimed_at = task.get("error", task.get("retry_error")), task.get("claimed_at")
    return WorkflowCallbackState(
        url=text["callback_url"].decode(),
        events=[WorkflowEnd(f"workflow.{end}") for end in text["callback_ends"].decode().strip(",").split(",")],
        status=status,
        attempts=int(task.get("attempt", 0)),
        last_attempt_at=to_timestamp(int(claimed_at)) if claimed_at else None,
        last_error=decode_kept(fault, ErrorBody) if fault and status is not CallbackStatus.DELIVERED else None,
    )


def read_progress(record: Mapping[bytes, bytes]) -> TaskProgress:
    """Return how far a workflow is, and what it asks, out of the record of its task."""
    news = decode_kept(record.get(PROGRESS.encode(), b"{}"), TaskProgress)
    own = record.get(FIGURES.encode())
    if own is None:
        return news
    # What a service is asked for by a plan may ask the user, but its steps are not the plan's.
    return evolve(decode_kept(own, TaskProgress), input_request=news.input_request, execution_id=news.execution_id)


def _named(record: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in record.items()}
