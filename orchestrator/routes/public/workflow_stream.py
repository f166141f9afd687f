"""The events of one workflow as `text/event-stream`."""

from collections.abc import Mapping
from typing import Final

from quart import Response

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.plans.workflow import WorkflowAccepted, WorkflowExecute, WorkflowResults, WorkflowStatusUpdate
from orchestrator.routes.http.event_stream import (
    FollowedEvents,
    Place,
    last_event_id,
    nothing_follows,
    stream_response,
)
from orchestrator.routes.http.registry import RouteCall
from orchestrator.services.shared.rate_limiter import nearer

_STATUS: Final = "workflow.status_update"


async def open_workflow_stream(call: RouteCall, body: WorkflowExecute) -> Response:
    """Take a workflow, and answer with its events.

    Raises:
        OrchestratorError: it is not taken; see `WorkflowService.execute`.
    """
    last = last_event_id(call)
    admitted = await call.services.workflows.execute(call.ctx, body)
    call.exchange.rate = nearer(admitted.rate, call.exchange.rate)
    task_id, workflows = admitted.accepted.task_id, call.services.workflows
    until = None
    if admitted.replayed and (await workflows.status(call.ctx, task_id)).status in FINISHED:
        until, epoch = await workflows.log.head(call.ctx.tenant_id, task_id)
        if last is not None and last.epoch in {None, epoch} and last.offset == until:
            return nothing_follows(call)
    events = WorkflowEvents(call, admitted.accepted, last or Place(0), until)
    return stream_response(call, events, replayed=admitted.replayed)


class WorkflowEvents(FollowedEvents):
    """A response body that follows a workflow to its end.

    Args:
        call: the request.
        accepted: the workflow.
        after: the place behind which to begin.
        until: the offset of the log's end, where the workflow has ended.
    """

    def __init__(self, call: RouteCall, accepted: WorkflowAccepted, after: Place, until: int | None = None) -> None:
        task_id, services = accepted.task_id, call.services
        following = services.event_hub.follow(
            call.ctx.tenant_id, task_id, after=after.offset, epoch=after.epoch, log=services.workflows.log
        )
        super().__init__(call, following, subject="workflow", subject_id=task_id, until=until)
        self._accepted = accepted

    def concerns(self, name: str, words: Mapping[str, str]) -> bool:
        """Say yes: the log is the workflow's own."""
        return True

    def ends(self, name: str, words: Mapping[str, str]) -> bool:
        """Tell whether an event is the workflow's last one."""
        return name == _STATUS and words.get("status") in FINISHED

    async def outcome(self, timeout_ms: int) -> tuple[str, object] | None:
        """Return the end, where the log no longer reaches back to the place that was asked for."""
        workflows, ctx = self._call.services.workflows, self._call.ctx
        found = await workflows.wait(ctx, self._accepted, timeout_ms)
        if not isinstance(found, WorkflowResults):
            return None
        status = await workflows.status(ctx, found.task_id)
        update = WorkflowStatusUpdate(
            status.task_id,
            status.workflow_id,
            status.status,
            status.progress,
            status.steps_completed,
            status.steps_total,
            status.current_step,
            status.status_message,
        )
        return _STATUS, update
