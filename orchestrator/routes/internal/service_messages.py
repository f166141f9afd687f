"""Routes by which services report in the messages of the platform's documents, with their own tokens.

What they say is read as the news that `task.progress`, `task.complete` and `task.fail` take with a callback token.
"""

from functools import partial
from typing import Any, Final

from orchestrator.dialects.news import read_news
from orchestrator.errors import InvalidBody, NotFound, NotOffered, PermissionMissing, WrongWorkflowState
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateClass
from orchestrator.models.plans.workflow import StepResult, StepType, WorkflowStep
from orchestrator.models.tasks.task_updates import TaskUpdated
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

service_message_routes = Routes()

_ERRORS: Final = (NotFound, PermissionMissing)
_message: Final = partial(
    service_message_routes.add,
    "POST",
    access=Access.SERVICE,
    body=dict,
    whole_message=True,
    rate_class=RateClass.WRITE,
)
"""Registers a route that takes a documented message of a service."""
_TOOL: Final = {"tool_name": "tool_id", "inputs": "parameters"}


@_message("workflow.callback", place="workflows/callback", answers="task.updated", answer=TaskUpdated, errors=_ERRORS)
async def workflow_callback(call: RouteCall) -> RouteAnswer:
    """Report on a run of the Workflow Engine: progress, a question to its user, its result, its failure."""
    return RouteAnswer(await call.services.service_news.take(call.ctx, read_news(call.body)))


@_message("tool.callback", place="tool-callbacks", answers="task.updated", answer=TaskUpdated, errors=_ERRORS)
async def tool_callback(call: RouteCall) -> RouteAnswer:
    """Report on a tool that answers later: its progress, its result, its failure."""
    return RouteAnswer(await call.services.service_news.take(call.ctx, read_news(call.body)))


@_message(
    "tool.request",
    place="tools/execute",
    answers="tool.result",
    answer=StepResult,
    errors=(*_ERRORS, WrongWorkflowState),
)
async def tool_request(call: RouteCall) -> RouteAnswer:
    """Have a tool run as a step of a run of the Workflow Engine, which `metadata.execution_id` names."""
    message: dict[str, Any] = call.body
    metadata, payload = _object(message, "metadata"), _object(message, "payload")
    asked = {_TOOL.get(name, name): value for name, value in payload.items()}
    execution_id = metadata.get("execution_id")
    if not isinstance(execution_id, str):
        raise _missing("$.metadata.execution_id")
    if not isinstance(asked.get("tool_id"), str):
        raise _missing("$.payload.tool_id")
    parameters = asked.get("parameters")
    task_id = await call.services.service_news.task_of(call.ctx, execution_id)
    step = WorkflowStep(
        task_id,
        str(metadata.get("step_id") or message.get("task_id") or call.ctx.request_id),
        StepType.TOOL,
        tool_id=asked["tool_id"],
        parameters=parameters if isinstance(parameters, dict) else {},
    )
    return RouteAnswer(await call.services.workflow_steps.run_known(call.ctx, step))


@_message(
    "integration.invoke",
    place="integrations/<integration_id>/invoke",
    id_name="integration_id",
    answers="integration.result",
    answer=StepResult,
    errors=(NotOffered,),
)
async def invoke_integration(call: RouteCall) -> RouteAnswer:
    """Invoke an integration: there are none yet (501)."""
    raise NotOffered(f"There is no integration {call.id!r}: none are offered yet.")


def _object(message: dict[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise _missing(f"$.{name}")
    return value


def _missing(path: str) -> InvalidBody:
    return InvalidBody(
        f"{path} is missing, or of the wrong type.", details=[FieldFault(path, "required field is missing")]
    )
