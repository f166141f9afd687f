"""Workflow Engine: runs the workflows that are defined there."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.messages import payload, taken
from orchestrator.clients.transport.transport import Transport
from orchestrator.dialects.engine_runs import run_of_engine
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess
from orchestrator.models.tasks.waits import Callback

_OWNERS: Final = {"workflow_id": Owner.TENANT, "execution_id": Owner.TASK, "node_id": Owner.WITHIN}
_READ: Final = PlanAccess("workflow:read", _OWNERS)
_operation = partial(Operation, "workflow_engine", domain="workflow")
_DEFINITIONS: Final = "/api/v1/workflow/definitions"
_EXECUTION: Final = "/api/v1/workflow/executions/{execution_id}"

DEFINITIONS: Final = _operation("definitions", "GET", _DEFINITIONS, idempotent=True, plan=_READ)
DEFINITION: Final = _operation("definition", "GET", f"{_DEFINITIONS}/{{workflow_id}}", idempotent=True, plan=_READ)
VALIDATE: Final = _operation(
    "validate",
    "POST",
    "/api/v1/workflow/validate",
    required=("steps",),
    optional=("workflow_id", "version", "name", "description"),
    idempotent=True,
    plan=PlanAccess("workflow:read", _OWNERS, ("steps", "version", "name", "description")),
)
EXECUTE: Final = _operation(
    "execute",
    "POST",
    "/api/v1/workflow/execute",
    required=("workflow_id", "input"),
    optional=("task_id", "context", "workflow_version", "timeout_seconds"),
    callee="workflow_id",
    delegable=True,
    plan=PlanAccess(
        "workflow:execute",
        _OWNERS,
        ("input", "context", "workflow_version", "timeout_seconds"),
        nested=("context",),
    ),
)
EXECUTION: Final = _operation("get", "GET", _EXECUTION, idempotent=True, plan=_READ)
CANCEL: Final = _operation(
    "cancel",
    "POST",
    f"{_EXECUTION}/cancel",
    optional=("reason",),
    idempotent=True,
    plan=PlanAccess("workflow:execute", _OWNERS, ("reason",)),
)
INPUT: Final = _operation(
    "input",
    "POST",
    f"{_EXECUTION}/input",
    required=("node_id", "input"),
    plan=PlanAccess("workflow:execute", _OWNERS, ("input",)),
)


@frozen
class WorkflowEngineClient:
    """Calls the Workflow Engine; every method raises what `Transport.call` raises."""

    transport: Transport

    async def definitions(self, call: CallContext) -> list[dict[str, Any]]:
        """Return the workflows that the tenant may run."""
        return payload(await self.transport.call(call, DEFINITIONS, {})).mappings("definitions")

    async def definition(self, call: CallContext, workflow_id: str) -> dict[str, Any]:
        """Return one workflow."""
        return payload(await self.transport.call(call, DEFINITION, {"workflow_id": workflow_id})).fields

    async def execute(
        self,
        call: CallContext,
        workflow_id: str,
        input_: Any,
        callback: Callback,
        *,
        callback_url: str | None = None,
        further: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a workflow, and return the id of its execution.

        Args:
            call: the workflow's task.
            workflow_id: the definition.
            input_: what it works on.
            callback: whom it reports to.
            callback_url: where it reports, if it does not by the callback's token.
            further: `context`, `workflow_version` and `timeout_seconds`, where they are known.
        """
        asked = {**(further or {}), "workflow_id": workflow_id, "input": input_, "task_id": callback.task_id}
        answer = await self.transport.call(
            call,
            EXECUTE,
            asked,
            task_id=callback.task_id,
            callback_token=callback.token,
            callback_url=callback_url,
        )
        return payload(answer).text("execution_id")

    async def execution(self, call: CallContext, execution_id: str) -> dict[str, Any]:
        """Return the state of an execution."""
        answer = payload(await self.transport.call(call, EXECUTION, {"execution_id": execution_id}))
        return run_of_engine(answer.fields)

    async def cancel(self, call: CallContext, execution_id: str, reason: str | None = None) -> None:
        """Stop an execution.

        Args:
            call: the task whose execution it is.
            execution_id: the engine's own name of it.
            reason: what has ended the task: `user`, `operator`, `timeout`, `error` or `system`.
        """
        await self.transport.call(call, CANCEL, {"execution_id": execution_id}, reason_code=reason)

    async def answer_input(
        self, call: CallContext, execution_id: str, node_id: str, input_: Any, **about: str | None
    ) -> None:
        """Send a user's input to a workflow that waits for it; `about` has its `workflow_id` and `input_request_id`."""
        asked = {"execution_id": execution_id, "node_id": node_id, "input": input_}
        taken(await self.transport.call(call, INPUT, asked, execution_id=execution_id, **about))


WORKFLOW_ENGINE: Final = ServiceRecord(
    "workflow_engine",
    WorkflowEngineClient,
    (DEFINITIONS, DEFINITION, VALIDATE, EXECUTE, EXECUTION, CANCEL, INPUT),
)
