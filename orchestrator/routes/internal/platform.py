"""Routes that the documents give services: of workflows that they run, of notifications, and of telemetry."""

from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.dialects.aliases import read_aliases
from orchestrator.dialects.news import read_news
from orchestrator.dialects.runs import EXECUTE
from orchestrator.errors import InvalidBody, NotFound, PermissionMissing
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.notification import Notification
from orchestrator.models.plans.workflow import WorkflowAccepted
from orchestrator.models.tasks.task_updates import TaskUpdated
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

platform_routes = Routes()


@frozen
class ReportTaken:
    """That a report has come."""

    accepted: bool = True


_REPORTS: Final = "workflow:report"
"""What a token must grant that comes in the place of an API key; `workflow:*` does."""
_NOT_NEEDED: Final = (
    ("POST", "orchestrator.register_session"),
    ("POST", "orchestrator.register_agent_load"),
    ("POST", "orchestrator.heartbeat"),
    ("POST", "telemetry.log"),
    ("POST", "telemetry.metric"),
    ("POST", "telemetry.trace"),
    ("GET", "telemetry.health"),
)
"""Documented routes whose reports nothing here needs: they are counted."""
_report: Final = partial(
    platform_routes.add,
    access=Access.INTERNAL,
    holder_permission=_REPORTS,
    body=dict,
    whole_message=True,
    id_name="workflow_id",
    answers="task.updated",
    answer=TaskUpdated,
    errors=(NotFound, PermissionMissing),
    rate_class=RateClass.WRITE,
)
"""Registers a route by which the Workflow Engine reports on a run."""


@platform_routes.add(
    "POST",
    "workflow.register",
    access=Access.INTERNAL,
    holder_permission=_REPORTS,
    body=dict,
    whole_message=True,
    answers="workflow.registered",
    answer=WorkflowAccepted,
    status=201,
    idempotent=True,
    errors=(PermissionMissing,),
    rate_class=RateClass.WRITE,
)
async def register(call: RouteCall) -> RouteAnswer:
    """Register a run that the Workflow Engine has started by itself: it gets a task, whose status can be followed."""
    content: dict[str, Any] = call.body
    payload = next((content[name] for name in ("data", "payload") if isinstance(content.get(name), dict)), content)
    payload = read_aliases(payload, EXECUTE, "$.data")
    metadata = content.get("metadata") if isinstance(content.get("metadata"), dict) else {}
    workflow_id, execution_id = (_id(payload, name) for name in ("workflow_id", "execution_id"))
    known = {**(metadata or {}), **payload}
    accepted = await call.services.workflows.register(
        call.ctx,
        workflow_id,
        execution_id,
        user_id=_id(known, "user_id", required=False) or call.ctx.principal.user_id,
        session_id=_id(known, "session_id", required=False) or None,
        input_=payload.get("input") if isinstance(payload.get("input"), dict) else {},
    )
    return RouteAnswer(accepted)


async def _take(call: RouteCall, kind: str) -> RouteAnswer:
    news = read_news(call.body, kind=kind, named=call.id)
    return RouteAnswer(await call.services.service_news.take(call.ctx, news))


@_report("PUT", "workflow.update")
async def update(call: RouteCall) -> RouteAnswer:
    """Report how far a run is, by the id of its task or of its execution."""
    return await _take(call, "workflow.update")


@_report("POST", "workflow.complete")
async def complete(call: RouteCall) -> RouteAnswer:
    """Report that a run has ended."""
    return await _take(call, "workflow.complete")


@_report("POST", "workflow.results", also_public=True)
async def results(call: RouteCall) -> RouteAnswer:
    """Hand in the results of a run, which ends with them."""
    return await _take(call, "workflow.results")


@platform_routes.add(
    "PUT",
    "notification.acknowledge",
    access=Access.INTERNAL,
    holder_permission="notification:send",
    body=dict,
    whole_message=True,
    id_name="notification_id",
    answers="notification.acknowledged",
    answer=Notification,
    also_public=True,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def acknowledge(call: RouteCall) -> RouteAnswer:
    """Acknowledge a notification on behalf of the user to whom it went, or of `user_id`."""
    content: dict[str, Any] = call.body
    data = content.get("data") if isinstance(content.get("data"), dict) else content
    user_id = _id(data or {}, "user_id", required=False) or None
    return RouteAnswer(await call.services.notifications.acknowledge_for(call.ctx, call.id, user_id))


def _id(fields: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not is_id(value):
        raise InvalidBody(f"$.data.{name} must be an id.", details=[FieldFault(f"$.data.{name}", "must be an id")])
    return value


async def _counted(call: RouteCall) -> RouteAnswer:
    """Take a report that nothing here needs: it is counted, and passed over."""
    call.services.metrics.messages_passed_over("platform", 1)
    return RouteAnswer(ReportTaken())


for method, name in _NOT_NEEDED:
    platform_routes.add(
        method,
        name,
        access=Access.INTERNAL,
        body=None if method == "GET" else dict,
        whole_message=method != "GET",
        answers=name,
        answer=ReportTaken,
        status=202,
        rate_class=RateClass.WRITE if method != "GET" else RateClass.READ,
    )(_counted)
