"""What a role may do where its token does not say."""

from typing import Final

from orchestrator.models.principal import Role

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
