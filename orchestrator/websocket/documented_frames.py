"""What documented forms of frames ask for: to resume by a message, and to stop a run by any id that is known of it."""

from typing import Final

import orjson

from orchestrator.errors import InvalidBody, NotFound, PermissionMissing, Unprocessable, WrongWorkflowState
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import Event
from orchestrator.models.plans.workflow import WorkflowStatusUpdate
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.subjects import WORKFLOW_PERMISSION, subject_of_run
from orchestrator.store.events.events import EventLog
from orchestrator.websocket.dialects.client_frames import RunCancel, SyncByMessage
from orchestrator.websocket.peer import Peer, Sync

PAGE: Final = 256
"""Events that are looked through at once."""
_WORKFLOW_ID: Final = "$.data.workflow_id"
UNKNOWN: Final = (0, "")
"""A place in no epoch: what follows is a snapshot."""


async def sync_by_message(connection: Peer, ctx: RequestContext, asked: SyncByMessage) -> None:
    """Have a socket resume behind what its client names, and tell how the runs stand that it asks after.

    Raises:
        InvalidBody: an offset came without its epoch.
        Unprocessable: the session is another one.
        StoreUnavailable: Redis is away.
    """
    if asked.session_id not in {None, connection.session_id}:
        fault = FieldFault("$.data.session_id", "is not the session of this socket")
        raise Unprocessable("The frame names another session than its socket.", details=[fault])
    if asked.last_offset is not None and asked.epoch is not None:
        place = asked.last_offset, asked.epoch
    elif asked.last_offset is not None or asked.epoch is not None:
        missing = "epoch" if asked.epoch is None else "last_offset"
        raise InvalidBody(
            "An offset counts with its epoch.", details=[FieldFault(f"$.data.{missing}", "required field is missing")]
        )
    elif asked.last_message_id is None:
        place = UNKNOWN
    else:
        place = await _place_of(connection.log, ctx.tenant_id, connection.session_id, asked.last_message_id)
    runs = (asked.client_state.active_workflows if asked.client_state is not None else None) or []
    standing = [told for run in runs for told in await _standing(connection, ctx, run)]
    connection.resume(Sync(*place, ctx, standing))


async def _place_of(log: EventLog, tenant_id: str, owner_id: str, message_id: str) -> tuple[int, str]:
    """Return offset and epoch of the event by which a message was told; the newest are looked at first."""
    try:
        head, epoch = await log.head(tenant_id, owner_id)
    except NotFound:
        return UNKNOWN
    before, needle = head + 1, message_id.encode()
    while before > 1:
        events = await log.read(tenant_id, owner_id, after=max(before - 1 - PAGE, 0), limit=PAGE, sound_only=True)
        events = [event for event in events if event.offset < before]
        for event in reversed(events):
            if needle in event.body and _tells(event, message_id):
                return event.offset, epoch
        if not events:
            break  # the log reaches no further back
        before = min(events[0].offset, before - 1)
    return UNKNOWN


def _tells(event: Event, message_id: str) -> bool:
    """Tell whether an event is called so, or is the acceptance of a question, or the answer, that is."""
    body = orjson.loads(event.body)
    if body.get("message_id") == message_id:
        return True
    data = body["data"]
    accepts = event.name == "chat.status_update" and data.get("content") is not None
    return (accepts or event.name == "chat.completed") and data.get("message_id") == message_id


async def _standing(connection: Peer, ctx: RequestContext, run: str) -> list[tuple[str, object]]:
    """Return the events that say how a run stands; none where the user may not see it."""
    if not connection.principal.may(WORKFLOW_PERMISSION):
        return []
    try:
        subject = await subject_of_run(connection.services, ctx, run)
        await subject.look(ctx)
        return await subject.greeting(recovered=True)
    except (NotFound, PermissionMissing):
        return []


async def cancel_run(connection: Peer, ctx: RequestContext, asked: RunCancel) -> None:
    """Stop a run: a task, a batch, an execution, or the only open run of a workflow.

    Where a workflow has several, or none is named, the frame's `correlation_id` may name the run: by its id, or as that
    of the request that has started it.

    Raises:
        InvalidBody: nothing names a run.
        NotFound: there is none that the caller may see.
        WrongWorkflowState: no run of the workflow is open, or several are.
    """
    name = asked.task_id or connection.task_id or (None if connection.converses else connection.session_id)
    if name is None:
        fault = FieldFault(_WORKFLOW_ID, "required field is missing")
        raise InvalidBody("Name the workflow that shall be stopped.", details=[fault])
    try:
        await _cancel(connection, ctx, name, asked)
    except (NotFound, WrongWorkflowState) as refused:
        told = [FieldFault(_WORKFLOW_ID, fault.message) for fault in refused.details]
        refusal = type(refused)(refused.message, details=told)
        try:
            await _cancel(connection, ctx, ctx.correlation_id, asked)
        except (NotFound, WrongWorkflowState):
            raise refusal from None


async def _cancel(connection: Peer, ctx: RequestContext, name: str, asked: RunCancel) -> None:
    quietly = asked.notify_user is False
    cancelled = await connection.services.runs.cancel(
        ctx, name, reason=asked.reason, quietly=quietly, correlation_id=ctx.correlation_id
    )
    if quietly and cancelled.cancelled and connection.converses:
        # The session's log is silent about it, so the client that asked is told by itself.
        status = await connection.services.runs.status(ctx, cancelled.task_id)
        update = WorkflowStatusUpdate(
            status.task_id,
            status.workflow_id,
            TaskStatus.CANCELLED,
            status.progress,
            status.steps_completed,
            status.steps_total,
            status_message=asked.reason,
        )
        await connection.reply("workflow.status_update", update, ctx.correlation_id)
