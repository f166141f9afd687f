"""Calls whose operation has a fallback: the caller goes on without an answer."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.clients.registry import OPERATIONS
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator

T = TypeVar("T")


async def or_none(
    coordinator: ServiceCoordinator,
    step: ServiceCall,
    call: CallContext,
    operation: Callable[[CallContext], Awaitable[T]],
) -> T | None:
    """Run a call whose operation has a fallback; None where the fallback is to be used."""
    if OPERATIONS[step.service, step.operation].fallback is None:
        raise ValueError(f"{step.service}.{step.operation} has no fallback")
    try:
        return await coordinator.run(step, call, operation)
    except (ServiceFault, NotFound):
        return None
