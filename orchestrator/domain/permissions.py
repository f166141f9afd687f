"""What a role may do where its token does not say."""

from collections.abc import Iterator
from typing import Final

from orchestrator.models.common.principal import Role
from orchestrator.models.downstream.operation import Operations
from orchestrator.models.plans.orchestration import OrchestrationPlan

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
        "query:execute",
        "embedding:execute",
        "usage:read",
    }
)

ROLE_PERMISSIONS: Final[dict[Role, frozenset[str]]] = {
    Role.USER: _USER,
    Role.OPERATOR: _USER | {"session:admin", "audit:read"},
    Role.ADMIN: frozenset({"*"}),
    Role.MONITOR: frozenset({"*:read", "system:read", "telemetry:read", "workflow:status"}),
    Role.SERVICE: _USER | {"workflow:*", "notification:send"},
    Role.READER: frozenset(permission for permission in _USER if permission.endswith(":read")),
}
"""The permissions of a token that carries a role but no `permissions`; of several roles, those of all of them."""


def needed_by(plan: OrchestrationPlan, operations: Operations) -> Iterator[tuple[str, str]]:
    """Yield what the calls of a plan take, as the routes that do the same would: (place, permission).

    Args:
        plan: one without faults: plans may call all its operations.
        operations: all that there are.
    """
    for name, call in plan.calls.items():
        for place, step in ((f"calls.{name}", call), (f"calls.{name}.compensate", call.compensate)):
            access = operations[step.service, step.operation].plan if step is not None else None
            if step is not None and access is not None:
                yield place, access.permission
                for parameter in access.chosen.keys() & step.parameters.keys():
                    yield f"{place}.parameters.{parameter}", access.chosen[parameter]
