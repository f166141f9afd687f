"""The events of one workflow as `text/event-stream`."""

from typing import Any, Final

from quart import Response

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.plans.workflow import WorkflowAccepted, WorkflowExecute, WorkflowResults, WorkflowStatusUpdate
from orchestrator.routes.http.event_stream import FollowedEvents, last_event_id, stream_response
from orchestrator.routes.http.registry import RouteCall

_STATUS: Final = "workflow.status_update"


async def open_workflow_stream(call: RouteCall, body: WorkflowExecute) -> Response:
    """Take a workflow, and answer with its events.

    Raises:
        OrchestratorError: it is not taken; see `WorkflowService.execute`.
    """
    last = last_event_id(call)
    admitted = await call.services.workflows.execute(call.ctx, body)
    call.exchange.rate = admitted.rate
    events = WorkflowEvents(call, admitted.accepted, after=last or 0, timeout_ms=body.timeout_ms)
    return stream_response(call, events, replayed=admitted.replayed)


class WorkflowEvents(FollowedEvents):
    """A response body that follows a workflow to its end.

    Args:
        call: the request.
        accepted: the workflow.
        after: the offset behind which to begin.
        timeout_ms: how long to wait for the end.
    """

    def __init__(self, call: RouteCall, accepted: WorkflowAccepted, *, after: int, timeout_ms: int) -> None:
        task_id, services = accepted.task_id, call.services
        following = services.event_hub.follow(call.ctx.tenant_id, task_id, after=after, log=services.workflows.log)
        super().__init__(call, following, timeout_ms=timeout_ms, subject="workflow", subject_id=task_id)
        self._accepted = accepted

    def concerns(self, name: str, data: dict[str, Any]) -> bool:
        """Say yes: the log is the workflow's own."""
        return True

    def ends(self, name: str, data: dict[str, Any]) -> bool:
        """Tell whether an event is the workflow's last one."""
        return name == _STATUS and data.get("status") in FINISHED

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
