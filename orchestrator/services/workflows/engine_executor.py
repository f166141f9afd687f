"""The one call of which a known workflow consists: the Workflow Engine takes it on, and answers when it has ended."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.registry import Clients
from orchestrator.clients.workflow_engine import EXECUTE
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import HIGH, OrchestrationPlan, ServiceCall
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.models.tasks.waits import Callback, Wait, WaitKind
from orchestrator.services.delegation.delegations import result_of
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.services.plans.call_executor import PlannedCall
from orchestrator.services.workflows.workflow_engine import ENGINE

CALL: Final = "engine"
"""The name of the call in its plan."""
START_MS: Final = 120_000
"""How long an attempt at starting a workflow may take."""


def engine_plan(message: TaskMessage) -> OrchestrationPlan:
    """Return the plan of a workflow that the Workflow Engine knows."""
    parameters = {"workflow_id": message.payload["workflow_id"], "input": "$.input"}
    call = ServiceCall(ENGINE, EXECUTE.name, HIGH, parameters=parameters)
    return OrchestrationPlan(message.task_id, message.tenant_id, {CALL: call}, deadline_ms=START_MS)


@frozen
class EngineExecutor:
    """Starts workflows; a `CallExecutor`.

    Args:
        clients: the services.
        coordinator: how they are called.
        lifetime_ms: how long a workflow may take.
        poll_ms: after so much silence the engine is asked.
    """

    clients: Clients
    coordinator: ServiceCoordinator
    lifetime_ms: int
    poll_ms: int
    callback_url: str = ""
    """Where the engine reports that has no use for callback tokens; empty: it is told of none."""

    async def perform(self, call: PlannedCall) -> Any:
        """Start a workflow, or return its result once that is there; see `CallExecutor.perform`."""
        if call.answer is not None:
            return result_of(call.answer)
        callback = await call.run.delegations.register(call.name, ENGINE, self.lifetime_ms)
        if callback is not None:
            # A run that the engine has started by itself is only waited for.
            execution_id = call.run.message.payload.get("execution_id") or await self._start(call, callback)
            await call.run.delegations.sent(call.name, ENGINE, execution_id)
        raise CallWaits(Wait(call.name, WaitKind.DELEGATED, self.poll_ms))

    async def _start(self, call: PlannedCall, callback: Callback) -> str:
        client, workflow, payload = self.clients.workflow_engine, call.step.parameters, call.run.message.payload
        # No parameters of the call: what looks like a reference in them is none.
        further = dict(payload.get("further") or {})
        if payload.get("context") is not None:
            further["context"] = payload["context"]

        async def start(limited: CallContext) -> str:
            return await client.execute(
                limited,
                workflow["workflow_id"],
                workflow["input"],
                callback,
                callback_url=self.callback_url or None,
                further=further,
            )

        context = call.context.to("workflow", str(workflow["workflow_id"])).within(agent_id=payload.get("agent_id"))
        return await self.coordinator.run(call.step, context, start)
