"""What a role may do where its token does not say."""

from collections.abc import Iterator
from typing import Final

from orchestrator.models.common.principal import Role
from orchestrator.models.plans.orchestration import OrchestrationPlan
from orchestrator.models.plans.service_operations import OPERATIONS

_USER: Final = frozenset(
    {
        "session:read",
        "session:write",
        "chat:read",
        "chat:write",
        "workflow:read",
        "workflow:execute",
        "task:read",
        "task:write",
        "agent:read",
        # Agents themselves are changed at Agent Management; here it is who answers in one's own session, and feedback.
        "agent:write",
        "tool:read",
        "tool:execute",
        "usage:read",
    }
)

ROLE_PERMISSIONS: Final[dict[Role, frozenset[str]]] = {
    Role.USER: _USER,
    Role.OPERATOR: _USER | {"session:admin"},
    Role.ADMIN: frozenset({"*"}),
    Role.MONITOR: frozenset({"*:read"}),
    Role.SERVICE: _USER,
}
"""The permissions of a token that carries a `role` but no `permissions`."""

_OF_PLANS: Final = {
    "conversation": ("chat:read", "chat:write"),
    "agent_management": ("agent:read", "agent:write"),
    "tool_registry": ("tool:read", "tool:execute"),
}
"""What calls of a service take that only read, and what the others take, beside the permission to run a plan."""


def needed_by(plan: OrchestrationPlan) -> Iterator[tuple[str, str]]:
    """Yield what the calls of a plan without faults take, as the routes that do the same would: (place, permission)."""
    for name, call in plan.calls.items():
        for place, step in ((f"calls.{name}", call), (f"calls.{name}.compensate", call.compensate)):
            if step is not None and step.service in _OF_PLANS:
                reads, writes = _OF_PLANS[step.service]
                yield place, reads if OPERATIONS[step.service, step.operation].method == "GET" else writes
