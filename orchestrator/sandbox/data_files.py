"""Folders of the fixtures and the documentation, and the fixtures as records."""

from pathlib import Path
from typing import Any, Final

import orjson
from attrs import field, frozen

_PACKAGED: Final = Path(__file__).parent / "data"
_REPOSITORY: Final = Path(__file__).parents[2]
ANY_TENANT: Final = "*"


def data_folder(name: str) -> Path:
    """Return `fixtures` or `docs`: of the installed package, else of the repository."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_dir() else _REPOSITORY / name


@frozen
class Fixtures:
    """Initial data of the sandbox's services."""

    folder: Path
    tenants: dict[str, dict[str, Any]]
    agents: dict[str, dict[str, dict[str, Any]]]
    """Agent id, then version, oldest first."""
    tools: dict[str, dict[str, Any]]
    workflows: dict[str, dict[str, Any]] = field(factory=dict)

    def tenant(self, tenant_id: str) -> dict[str, Any]:
        """Return a tenant; one that is not listed gets the data of `*`."""
        return self.tenants.get(tenant_id) or self.tenants[ANY_TENANT]

    def has_agent(self, tenant_id: str, agent_id: str) -> bool:
        """Tell whether a tenant may use an agent."""
        return agent_id in self.tenant(tenant_id)["agents"]


def load_fixtures(folder: Path | None = None) -> Fixtures:
    """Read the fixtures.

    Args:
        folder: has `tenants.json`, `agents/`, `tools/` and `workflows/`; default: the project's own.
    """
    folder = folder or data_folder("fixtures")
    agents: dict[str, dict[str, dict[str, Any]]] = {}
    for agent in _all(folder / "agents"):
        agents.setdefault(agent["agent_id"], {})[agent["version"]] = agent
    return Fixtures(
        folder=folder,
        tenants={tenant["tenant_id"]: tenant for tenant in orjson.loads((folder / "tenants.json").read_bytes())},
        agents={name: dict(sorted(versions.items())) for name, versions in agents.items()},
        tools={tool["tool_id"]: tool for tool in _all(folder / "tools")},
        workflows={workflow["workflow_id"]: workflow for workflow in _all(folder / "workflows")},
    )


def _all(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
