"""Plans as they come from outside."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.plans.orchestration import RETRY_POLICIES, OnFailure, OrchestrationPlan, ServiceCall, Strategy

CALL_NAME: str = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
"""So a name needs no quotes in a reference, and can't be taken for anything else that is kept of a task."""
MOST_CALLS = 100


class Retries(StrEnum):
    """How a failed call is tried again; the policies are those of `docs/reference/errors.md`."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    ONCE = "once"


ServiceName = Annotated[str, Meta(max_length=64, description="As in the settings, such as `tool_registry`.")]
OperationName = Annotated[str, Meta(max_length=64, description="One of the service's operations, such as `execute`.")]
Parameters = Annotated[
    dict[str, Any],
    Meta(description="Path parameters and payload fields together; strings that begin with `$.` are references."),
]
TimeoutMs = Annotated[int | None, Meta(ge=1, le=600_000, description="The most that one try may take, in ms.")]


@frozen
class UndoRequest:
    """What undoes a call; its references may look into the call's own result."""

    service: ServiceName
    operation: OperationName
    parameters: Parameters = field(factory=dict)
    retry_policy: Retries = Retries.MEDIUM
    timeout_ms: TimeoutMs = None
    idempotent: bool | None = None

    def call(self) -> ServiceCall:
        """Return it as the engine takes it."""
        return ServiceCall(
            self.service,
            self.operation,
            RETRY_POLICIES[self.retry_policy],
            self.timeout_ms,
            self.parameters,
            idempotent=self.idempotent,
        )


@frozen
class CallRequest:
    """One call of a plan."""

    service: ServiceName
    operation: OperationName
    parameters: Parameters = field(factory=dict)
    depends_on: Annotated[list[str], Meta(max_length=MOST_CALLS, description="Names of calls.")] = field(factory=list)
    when: Annotated[
        dict[str, Any] | None, Meta(description="A comparison tree; where it is false, it is left out.")
    ] = None
    retry_policy: Retries = Retries.MEDIUM
    timeout_ms: TimeoutMs = None
    compensate: UndoRequest | None = None
    optional: Annotated[bool, Meta(description="Whether the plan goes on where the call fails.")] = False
    idempotent: Annotated[
        bool | None, Meta(description="Whether it may be repeated; default: as the operation is.")
    ] = None

    def call(self) -> ServiceCall:
        """Return it as the engine takes it."""
        return ServiceCall(
            self.service,
            self.operation,
            RETRY_POLICIES[self.retry_policy],
            self.timeout_ms,
            self.parameters,
            tuple(dict.fromkeys(self.depends_on)),
            self.when,
            self.compensate.call() if self.compensate else None,
            self.optional,
            self.idempotent,
        )


@frozen
class PlanRequest:
    """Calls of services that together do one task."""

    calls: Annotated[dict[str, CallRequest], Meta(min_length=1, max_length=MOST_CALLS, description="By name.")]
    strategy: Strategy = Strategy.GRAPH
    deadline_ms: Annotated[
        int, Meta(ge=1, le=3_600_000, description="How long an attempt at the plan may work, in ms.")
    ] = 120_000
    on_failure: OnFailure = OnFailure.FAIL
    version: Annotated[int, Meta(ge=1, description="Part of every call's idempotency key.")] = 1

    def plan(self, plan_id: str, tenant_id: str, session_id: str | None = None) -> OrchestrationPlan:
        """Return it as the engine takes it; `domain.plans` says whether it can be run."""
        calls = {name: request.call() for name, request in self.calls.items()}
        return OrchestrationPlan(
            plan_id, tenant_id, calls, self.strategy, self.deadline_ms, self.on_failure, session_id, self.version
        )
