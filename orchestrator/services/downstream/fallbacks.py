"""What stands in for an operation whose service can't be asked: without it, or with what was known last."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from attrs import frozen

from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator

T = TypeVar("T")


@frozen
class Fallback:
    """What is done instead of a call."""

    says: str
    """For the reference."""
    last_known_seconds: float = 0.0
    """How old what was answered before may be to be used once more; 0: it is not."""


FALLBACKS: Final[Mapping[tuple[str, str], Fallback]] = {
    ("conversation", "create"): Fallback("the turn goes on; the next one begins the conversation"),
    ("conversation", "append"): Fallback("the message stays in the window that is kept here"),
    ("conversation", "context"): Fallback("the window that is kept here"),
    ("conversation", "messages"): Fallback("the end of the conversation, as it is kept here"),
    ("agent_management", "get"): Fallback("the configuration that was known last", 600.0),
    ("tool_registry", "list"): Fallback("the list that was known last, else none", 600.0),
    ("tool_registry", "execute"): Fallback("the agent is told, and decides"),
}
"""By service and operation; what is not here fails with its service."""


async def or_none(
    coordinator: ServiceCoordinator,
    step: ServiceCall,
    call: CallContext,
    operation: Callable[[CallContext], Awaitable[T]],
) -> T | None:
    """Run a call that has a fallback; None where that is to be used."""
    if (step.service, step.operation) not in FALLBACKS:
        raise ValueError(f"{step.service}.{step.operation} has no fallback")
    try:
        return await coordinator.run(step, call, operation)
    except (ServiceFault, NotFound):
        return None
