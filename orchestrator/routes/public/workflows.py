"""Routes of workflows."""

from typing import Final

from attrs import evolve, frozen
from quart import Response

from orchestrator.config.constants import PAGE_LIMIT, PAGE_LIMIT_MAX
from orchestrator.errors import (
    CallTimeout,
    IdempotencyKeyReused,
    NotFound,
    PermissionMissing,
    QueueFull,
    ServiceUnreachable,
    SessionClosed,
    Unprocessable,
    WrongWorkflowState,
)
from orchestrator.models.common.limits import RateClass
from orchestrator.models.plans.workflow import (
    RunCancel,
    StepResult,
    WorkflowAccepted,
    WorkflowCancelled,
    WorkflowDefinition,
    WorkflowExecute,
    WorkflowInput,
    WorkflowInputTaken,
    WorkflowMode,
    WorkflowResults,
    WorkflowStatus,
    WorkflowStep,
)
from orchestrator.routes.http.event_stream import EVENT_STREAM
from orchestrator.routes.http.paging import Cursor, Limit, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes
from orchestrator.routes.http.stream_tickets import StreamQuery
from orchestrator.routes.public.workflow_stream import open_workflow_stream

workflow_routes = Routes()

_RESULTS: Final = {"domain": "workflow", "action": "results"}


@frozen
class WorkflowQuery:
    """What `workflow.list` takes."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class ResultsQuery:
    """What `workflow.results` takes; it counts for batches, whose items are many."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT_MAX


@workflow_routes.add(
    "POST",
    "workflow.execute",
    permission="workflow:execute",
    body=WorkflowExecute,
    query=StreamQuery,
    answers="workflow.accepted",
    answer=WorkflowAccepted,
    status=202,
    idempotent=True,
    own_rate=True,
    errors=(NotFound, SessionClosed, IdempotencyKeyReused, QueueFull, Unprocessable),
    also={200: ("The results (`wait`), or the workflow's events (`stream`).", WorkflowResults, (EVENT_STREAM,))},
    rate_class=RateClass.WRITE,
)
async def execute(call: RouteCall) -> RouteAnswer | Response:
    """Run a workflow that the Workflow Engine knows, or a plan of your own."""
    body: WorkflowExecute = call.body
    workflows = call.services.workflows
    if body.mode is WorkflowMode.STREAM:
        return await open_workflow_stream(call, body)
    admitted = await workflows.execute(call.ctx, body)
    outcome = RouteAnswer(admitted.accepted, replayed=admitted.replayed, rate=admitted.rate)
    if body.mode is WorkflowMode.WAIT:
        finished = await workflows.wait(call.ctx, admitted.accepted, body.timeout_ms)
        if isinstance(finished, WorkflowResults):
            return evolve(outcome, data=finished, status=200, kind=_RESULTS)
    return outcome


@workflow_routes.add(
    "GET",
    "workflow.list",
    permission="workflow:read",
    query=WorkflowQuery,
    answers="workflow.list",
    answer=WorkflowDefinition,
    paged=True,
    errors=(ServiceUnreachable, CallTimeout),
    rate_class=RateClass.READ,
)
async def list_workflows(call: RouteCall) -> RouteAnswer:
    """List the workflows that the Workflow Engine knows, by their ids."""
    query: WorkflowQuery = call.query
    page = await call.services.workflows.list(call.ctx, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@workflow_routes.add(
    "GET",
    "workflow.status",
    permission="workflow:read",
    or_permissions=("workflow:status",),
    id_name="task_id",
    answers="workflow.status",
    answer=WorkflowStatus,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def status(call: RouteCall) -> RouteAnswer:
    """Show how a run stands, by its task, batch or execution, and what it asks its user."""
    return RouteAnswer(await call.services.runs.status(call.ctx, call.id))


@workflow_routes.add(
    "GET",
    "workflow.results",
    permission="workflow:read",
    id_name="task_id",
    query=ResultsQuery,
    answers="workflow.results",
    answer=WorkflowResults,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def results(call: RouteCall) -> RouteAnswer:
    """Show what a run has given: in the end, or so far, as its `status` says."""
    query: ResultsQuery = call.query
    page = await call.services.runs.results(call.ctx, call.id, cursor=query.cursor, limit=query.limit)
    data = page.items[0]
    return RouteAnswer(data, limit=None if data.items is None else query.limit, next_cursor=page.next_cursor)


@workflow_routes.add(
    "POST",
    "workflow.input",
    permission="workflow:execute",
    id_name="task_id",
    body=WorkflowInput,
    answers="workflow.input",
    answer=WorkflowInputTaken,
    status=202,
    errors=(NotFound, WrongWorkflowState, ServiceUnreachable, CallTimeout),
    rate_class=RateClass.WRITE,
)
async def give_input(call: RouteCall) -> RouteAnswer:
    """Answer what a workflow asks its user, by its task or its execution."""
    return RouteAnswer(await call.services.runs.input(call.ctx, call.id, call.body))


@workflow_routes.add(
    "DELETE",
    "workflow.cancel",
    permission="workflow:execute",
    id_name="task_id",
    body=RunCancel,
    answers="workflow.cancelled",
    answer=WorkflowCancelled,
    errors=(NotFound, WrongWorkflowState),
    rate_class=RateClass.WRITE,
)
async def cancel(call: RouteCall) -> RouteAnswer:
    """Stop a run, by its task, batch or execution; one that has ended stays as it is."""
    asked: RunCancel = call.body
    return RouteAnswer(await call.services.runs.cancel(call.ctx, call.id, reason=asked.reason, quietly=asked.quietly))


@workflow_routes.add(
    "POST",
    "workflow.step",
    access=Access.INTERNAL,
    body=WorkflowStep,
    answers="workflow.step_result",
    answer=StepResult,
    errors=(NotFound, PermissionMissing, WrongWorkflowState),
    rate_class=RateClass.WRITE,
)
async def step(call: RouteCall) -> RouteAnswer:
    """Run an agent or a tool as a step of a workflow that the Workflow Engine runs."""
    token = call.exchange.headers.get("x-callback-token")
    return RouteAnswer(await call.services.workflow_steps.run(call.ctx, call.body, token))
