"""Tasks about delegated work: runs of tools that answer later, and cancels that are passed on to services."""

from typing import Any, Final

import trio
from attrs import frozen

from orchestrator.clients.registry import Clients
from orchestrator.errors import NotFound, ServiceFault, ServiceRefused
from orchestrator.models.common.call import CallContext
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.queue.tasks.plain_tasks import PlainAttempt, PlainTasks
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.agents.tool_runs import TOOL_RUN, UNKNOWN
from orchestrator.services.chat.turn_tools import async_tools
from orchestrator.services.delegation.delegation_cancels import DelegationCancels
from orchestrator.services.delegation.delegations import CANCEL_TASK, answer_of, result_of
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.services.shared.call_contexts import call_of

_RUN: Final = ServiceCall("tool_registry", "async_execute", MEDIUM)
_AT_ONCE: Final = ServiceCall("tool_registry", "execute", MEDIUM)


@frozen
class ToolRuns:
    """What a run of a tool consists of: it is handed on, or run at once, and its answer is the result."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog

    async def __call__(self, run: PlainAttempt) -> Any:
        """Hand the run on, or return what came of it.

        Raises:
            CallWaits: the answer comes later.
            OrchestratorError: the tool failed, or the Tool Registry did.
            FencedOut: another worker has taken the task over.
        """
        payload, metadata = run.message.payload, run.message.metadata
        if payload.get("kind") == UNKNOWN and not await self._answers_later(run):
            return await self._at_once(run)
        # After a failure the tool is started anew.
        call_id = f"run.{metadata.retry_count}"
        answer = answer_of(run.checkpoints, call_id)
        if answer is not None:
            given = result_of(answer)
            return given if isinstance(given, dict) else {"result": given}
        callback = await run.delegations.register(call_id, _RUN.service, payload["timeout_ms"])
        if callback is not None:

            async def start(limited: CallContext) -> str:
                client = self.clients.tool_registry
                return await client.async_execute(limited, payload["tool_id"], payload["parameters"], callback)

            call = (
                call_of(run.message, run.deadline)
                .keyed(f"{run.message.task_id}:{call_id}")
                .to("tool", payload["tool_id"])
            )
            name = await self.coordinator.run(_RUN, call, start)
            await run.delegations.sent(call_id, _RUN.service, name)
        raise CallWaits(Wait(call_id, WaitKind.DELEGATED, payload["timeout_ms"]))

    async def _answers_later(self, run: PlainAttempt) -> bool:
        """Tell whether the registry lists the tool as one that answers later."""
        try:
            tools = await self.catalog.tools(call_of(run.message, run.deadline), None)
        except (ServiceFault, NotFound):
            # The run itself shows whether the registry is away.
            return False
        return run.message.payload["tool_id"] in async_tools(tools)

    async def _at_once(self, run: PlainAttempt) -> Any:
        payload, name = run.message.payload, f"{run.message.task_id}:run.{run.message.metadata.retry_count}"

        async def execute(limited: CallContext) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, payload["tool_id"], payload["parameters"])

        deadline = min(run.deadline, trio.current_time() + payload["timeout_ms"] / 1000)
        call = call_of(run.message, deadline).keyed(name).to("tool", payload["tool_id"])
        outcome = await self.coordinator.run(_AT_ONCE, call, execute)
        if outcome.status is ToolStatus.ERROR:
            raise ServiceRefused(outcome.error_message or "The tool failed.", service=_AT_ONCE.service)
        return {"status": outcome.status, "result": outcome.data}


@frozen
class CancelTasks:
    """What word for services consists of."""

    cancels: DelegationCancels

    async def __call__(self, run: PlainAttempt) -> Any:
        """Tell the services of a task that has ended; OrchestratorError where one could not be told."""
        call = call_of(run.message, run.deadline)
        return {"cancelled": await self.cancels.tell(call, run.message.payload["task_id"])}


def _tool_runs(deps: TaskDeps) -> PlainTasks:
    core = deps.core
    return PlainTasks(deps.queue, core.stores.plain_tasks, ToolRuns(core.clients, core.coordinator, core.catalog))


def _cancel_tasks(deps: TaskDeps) -> PlainTasks:
    core = deps.core
    cancels = DelegationCancels(core.stores.delegations, core.clients, core.coordinator, core.metrics)
    return PlainTasks(deps.queue, core.stores.plain_tasks, CancelTasks(cancels))


tool_run: Final = RunnableKind(TOOL_RUN, _tool_runs)
cancel_task: Final = RunnableKind(CANCEL_TASK, _cancel_tasks)
