"""The Workflow Engine as workflows need it: what it knows, what it is told, and how its runs stand."""

from collections.abc import Mapping
from typing import Any, Final

import trio
from attrs import asdict, frozen

from orchestrator.clients.registry import Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.http_errors import NotSaid
from orchestrator.codec import structure
from orchestrator.errors import InvalidBody, NotFound, ServiceFault, ServiceRefused, WrongWorkflowState
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.plans.orchestration import MEDIUM, ONCE, ServiceCall
from orchestrator.models.plans.workflow import WorkflowDefinition, WorkflowInput
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.shared.agent_lookup import LOOK_SECONDS
from orchestrator.services.shared.call_contexts import call_for
from orchestrator.services.shared.named_pages import page_by_name
from orchestrator.store.plans.delegations import DelegationStore

ENGINE: Final = "workflow_engine"
_DEFINITIONS: Final = ServiceCall(ENGINE, "definitions", MEDIUM, timeout_ms=5000)
_DEFINITION: Final = ServiceCall(ENGINE, "definition", ONCE)
_INPUT: Final = ServiceCall(ENGINE, "input", MEDIUM, timeout_ms=10_000)
_GET: Final = ServiceCall(ENGINE, "get", MEDIUM, timeout_ms=5000)
LOOKUP_SECONDS: Final = 10.0
"""Deadline of what a client waits for."""


@frozen
class EngineService:
    """Asks the Workflow Engine, and hands on to it."""

    clients: Clients
    coordinator: ServiceCoordinator
    delegations: DelegationStore

    async def definitions(self, ctx: RequestContext, *, cursor: str | None, limit: int) -> Page[WorkflowDefinition]:
        """List the workflows that the tenant may run, by their ids.

        Raises:
            InvalidParameter: the cursor is none of this list.
            ServiceFault: the engine is away, or answers nonsense.
        """
        client = self.clients.workflow_engine
        told = await self.coordinator.run(_DEFINITIONS, call_for(ctx, LOOKUP_SECONDS), client.definitions)
        definitions = {one.workflow_id: one for one in map(_definition, told)}
        return page_by_name(definitions, cursor=cursor, limit=limit)

    async def must_exist(self, ctx: RequestContext, workflow_id: str) -> None:
        """Refuse a workflow that the engine does not know.

        Raises:
            NotFound: the engine says so. Where it is away, nothing is said, and the work is taken in.
        """
        call, client = call_for(ctx, LOOK_SECONDS), self.clients.workflow_engine
        try:
            with trio.move_on_after(2 * LOOK_SECONDS):
                await self.coordinator.run(_DEFINITION, call, lambda limited: client.definition(limited, workflow_id))
        except NotSaid:
            # Such an engine has no route for single definitions.
            return
        except NotFound as error:
            raise NotFound(f"There is no workflow {workflow_id}.", details=error.details) from None
        except ServiceFault:
            return

    async def answer(
        self,
        ctx: RequestContext,
        task_id: str,
        given: WorkflowInput,
        execution_id: str | None,
        about: Mapping[str, str | None],
    ) -> None:
        """Hand the answer of a user on.

        Args:
            ctx: the request.
            task_id: the workflow's task.
            given: the answer.
            execution_id: the engine's run that asked, where it said so.
            about: `workflow_id`, `input_request_id` and `session_id`, as far as they are known.

        Raises:
            WrongWorkflowState: the engine waits for no answer, or not for this one.
            ServiceFault: the engine is away, and stayed so.
        """
        known = execution_id or await self._execution(ctx.tenant_id, task_id)
        if known is None:
            raise WrongWorkflowState("The workflow does not wait for its user: the Workflow Engine has not begun it.")
        # The same request is handed on once; another one with the same answer may be meant for the next question.
        named = ctx.idempotency_key or ctx.message_id or new_id()
        call = call_for(ctx, LOOKUP_SECONDS).keyed(f"{task_id}:input:{given.node_id}:{named}")
        client = self.clients.workflow_engine
        try:
            await self.coordinator.run(
                _INPUT, call, lambda limited: client.answer_input(limited, known, given.node_id, given.input, **about)
            )
        except (ServiceRefused, NotFound) as error:
            words = f"The Workflow Engine did not take the answer for {given.node_id!r}."
            raise WrongWorkflowState(words, details=error.details, service=ENGINE) from None

    async def standing(self, call: CallContext, execution_id: str) -> dict[str, Any]:
        """Return how a run of the engine stands, as the engine says it.

        Raises:
            NotFound: the engine knows no such run.
            ServiceFault: the engine is away, and stayed so.
        """
        client = self.clients.workflow_engine
        return await self.coordinator.run(_GET, call, lambda limited: client.execution(limited, execution_id))

    async def _execution(self, tenant_id: str, task_id: str) -> str | None:
        handed_on = await self.delegations.of_task(tenant_id, task_id)
        return next((one.execution_id for one in handed_on if one.service == ENGINE and one.execution_id), None)


def progress_of_run(told: dict[str, Any]) -> TaskProgress:
    """Return what the engine says of a run as the progress that it would have told; what can't be read is left out."""
    done, total = told.get("steps_completed"), told.get("steps_total")
    fields = {name: told.get(name) for name in ("status", "current_step", "execution_id", "input_request")}
    counted = isinstance(done, int) and isinstance(total, int) and 0 <= done <= total
    if counted:
        fields |= {"steps_completed": done, "steps_total": total, "progress": done / total if total else 0.0}
    elif isinstance(told.get("progress"), float):
        fields["progress"] = told["progress"]
    try:
        return structure({name: value for name, value in fields.items() if value is not None}, TaskProgress)
    except InvalidBody:
        return TaskProgress()


def kept_progress(progress: TaskProgress) -> dict[str, Any]:
    """Return what is kept of some progress."""
    return {name: value for name, value in asdict(progress).items() if value is not None}


def _definition(told: dict[str, Any]) -> WorkflowDefinition:
    workflow = ServiceAnswer(ENGINE, told, "$.definitions[]")
    return WorkflowDefinition(
        workflow.text("workflow_id"),
        workflow.text("name", ""),
        workflow.text("description", ""),
        workflow.text("version", ""),
        workflow.items("steps", []),
    )
