"""Cache invalidation: a change of an agent or a tool is announced to all processes, which drop their entries."""

from typing import Any, Final

import orjson
import trio
from attrs import frozen

from orchestrator.models.agents.agent_views import AgentUpdated, Forgotten, ToolUpdated
from orchestrator.models.common.principal import RequestContext
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.store.downstream.catalog_changes import CatalogChanges

_AGENT: Final = "agent"
_TOOL: Final = "tool"


@frozen
class CatalogInvalidation:
    """Announces changes, and applies those of other processes.

    Args:
        changes: channel of announcements.
        catalog: cache of this process.
    """

    changes: CatalogChanges
    catalog: AgentCatalog

    async def agent_updated(self, ctx: RequestContext, notice: AgentUpdated) -> Forgotten:
        """Drop an agent of the request's tenant from the caches of all processes.

        Raises:
            StoreUnavailable: Redis is away; other processes may use the old agent until it expires.
        """
        await self._tell({"kind": _AGENT, "tenant_id": ctx.tenant_id, "agent_id": notice.agent_id})
        return Forgotten(agent_id=notice.agent_id)

    async def tool_updated(self, ctx: RequestContext, notice: ToolUpdated) -> Forgotten:
        """Drop tools of the request's tenant from the caches of all processes; raises as `agent_updated` does."""
        told = {"tool_id": notice.tool_id, "agent_id": notice.agent_id}
        await self._tell({"kind": _TOOL, "tenant_id": ctx.tenant_id, **told})
        return Forgotten(agent_id=notice.agent_id, tool_id=notice.tool_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow announcements until cancelled; where some may have been lost, the whole cache is dropped.

        Raises:
            StoreUnavailable: changes can't be followed.
        """
        async with self.changes.follow(_read) as notices:
            self.catalog.forget_all()
            task_status.started()
            async for notice in notices:
                if notice is not None:
                    self._take(notice)
                else:
                    self.catalog.forget_all()

    async def _tell(self, notice: dict[str, Any]) -> None:
        # Applied here at once: the client may rely on it after the answer.
        self._take(notice)
        await self.changes.publish(orjson.dumps(notice))

    def _take(self, notice: dict[str, Any]) -> None:
        if notice["kind"] == _AGENT:
            self.catalog.forget_agent(notice["tenant_id"], notice["agent_id"])
        else:
            self.catalog.forget_tools(notice["tenant_id"], tool_id=notice["tool_id"], agent_id=notice["agent_id"])


def _read(payload: bytes) -> dict[str, Any]:
    """Read a notice.

    Raises:
        ValueError, LookupError, TypeError: it is none of this version, so that anything may have changed.
    """
    told = orjson.loads(payload)
    kind, tenant_id, agent_id = told["kind"], told["tenant_id"], told["agent_id"]
    tool_id = told["tool_id"] if kind == _TOOL else None
    optional = (agent_id, tool_id) if kind == _TOOL else (tool_id,)
    required = (tenant_id,) if kind == _TOOL else (tenant_id, agent_id)
    if kind not in {_AGENT, _TOOL} or not all(isinstance(one, str) for one in required):
        raise ValueError("no notice")
    if not all(one is None or isinstance(one, str) for one in optional):
        raise ValueError("no notice")
    return {"kind": kind, "tenant_id": tenant_id, "agent_id": agent_id, "tool_id": tool_id}
