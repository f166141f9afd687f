"""Passes cancels on to services that still work for a task that has ended."""

from typing import Any, Final

import structlog
from attrs import frozen

from orchestrator.clients.registry import SERVICES, Clients
from orchestrator.errors import CallTimeout, NotFound, OrchestratorError, PlanTimeout, TaskExpired
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import HIGH, ServiceCall
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.store.plans.delegations import Delegation, DelegationStore, Ending
from orchestrator.store.records import RecordDamaged
from orchestrator.telemetry.metrics import Metrics

_LATE: Final = frozenset({CallTimeout.code, PlanTimeout.code, TaskExpired.code})
"""Codes of tasks whose time was over."""
_log = structlog.get_logger("orchestrator.services.delegation.delegation_cancels")


@frozen
class DelegationCancels:
    """Tells the services that a task has handed calls on to."""

    store: DelegationStore
    clients: Clients
    coordinator: ServiceCoordinator
    metrics: Metrics

    async def tell(self, call: CallContext, task_id: str) -> list[str]:
        """Tell each service that is still at work for a task, and return the calls that were cancelled.

        A service that no longer knows its work is as good as told. What could not be told is logged and counted; to
        tell once more what was told before does no harm.

        Raises:
            OrchestratorError: of the last service that could not be told.
        """
        told: list[str] = []
        trouble: OrchestratorError | None = None
        at_work = [
            one for one in await self.store.of_task(call.tenant_id, task_id) if one.cancellable and not one.ended
        ]
        reason = reason_of(await self.store.ending(call.tenant_id, task_id)) if at_work else ""
        for delegation in at_work:
            try:
                await self._cancel(call, delegation, reason)
            except OrchestratorError as error:
                trouble = error
                self.metrics.delegation_cancelled(delegation.service, told=False)
                _log.warning(
                    "delegation.not_cancelled",
                    tenant_id=call.tenant_id,
                    task_id=task_id,
                    service=delegation.service,
                    execution_id=delegation.execution_id,
                    reason=error.message,
                )
            else:
                self.metrics.delegation_cancelled(delegation.service, told=True)
                told.append(delegation.call_id)
        if trouble is not None:
            raise trouble
        return told

    async def _cancel(self, call: CallContext, delegation: Delegation, reason: str) -> None:
        async def cancel(limited: CallContext) -> Any:
            if delegation.service == "workflow_engine":
                await self.clients.workflow_engine.cancel(limited, delegation.execution_id, reason)
            else:
                await self.clients.agent_execution.cancel(limited, delegation.execution_id, reason)

        if delegation.service not in SERVICES:
            raise RecordDamaged(f"The record of the call {delegation.call_id} names no service.")
        step = ServiceCall(delegation.service, "cancel", HIGH)
        try:
            await self.coordinator.run(step, call.keyed(f"cancel:{delegation.execution_id}"), cancel)
        except NotFound:
            _log.info("delegation.unknown", callee=delegation.service, execution_id=delegation.execution_id)


def reason_of(ending: Ending) -> str:
    """Return what has ended a task: `user`, `operator`, `timeout`, `error` or `system`."""
    if ending.status == TaskStatus.CANCELLED and ending.stop is not None:
        return ending.stop.by
    if ending.status == TaskStatus.FAILED:
        return "timeout" if ending.code in _LATE else "error"
    return "system"
