"""Who asks, in tests: keys, tokens, and the settings that let them in."""

from hashlib import sha256
from typing import Any

from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role

SECRET = "a-secret-of-32-characters-or-more"
INTERNAL_KEY, ADMIN_KEY, METRICS_KEY = "internal-key", "admin-key", "metrics-key"


def api_key(name: str, scope: str, key: str) -> str:
    return f"{name}:{scope}:{sha256(key.encode()).hexdigest()}"


SETTINGS = AgentOrchestratorSettings(
    jwt=JwtSettings(secret=SECRET),
    max_body_bytes=64 * 1024,
    api_keys=(
        api_key("query", "internal", INTERNAL_KEY),
        api_key("operator", "admin", ADMIN_KEY),
        api_key("prometheus", "metrics", METRICS_KEY),
    ),
)


def bearer(tenant: Any = "acme", user: str = "ann", role: Role = Role.USER, **more: Any) -> dict[str, str]:
    """The header of a user; `more` are further options of the token."""
    return {"Authorization": f"Bearer {create_token(SECRET, tenant, user, role=role, **more)}"}


def keyed(key: str = INTERNAL_KEY, tenant: str = "acme") -> dict[str, str]:
    """The headers of another service, or of an operator's tool."""
    return {"X-API-Key": key, "X-Tenant-ID": tenant}
