"""Notices that an agent or a tool has changed: told to all processes, each of which forgets what it kept of it."""

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
    """Takes notices of changes, and passes them on.

    Args:
        changes: where notices are told.
        catalog: what this process keeps.
    """

    changes: CatalogChanges
    catalog: AgentCatalog

    async def agent_updated(self, ctx: RequestContext, notice: AgentUpdated) -> Forgotten:
        """Have every process look an agent of the request's tenant up anew.

        Raises:
            StoreUnavailable: Redis is away; other processes may keep the agent for their short while.
        """
        await self._tell({"kind": _AGENT, "tenant_id": ctx.tenant_id, "agent_id": notice.agent_id})
        return Forgotten(agent_id=notice.agent_id)

    async def tool_updated(self, ctx: RequestContext, notice: ToolUpdated) -> Forgotten:
        """Have every process look tools of the request's tenant up anew; raises as `agent_updated` does."""
        told = {"tool_id": notice.tool_id, "agent_id": notice.agent_id}
        await self._tell({"kind": _TOOL, "tenant_id": ctx.tenant_id, **told})
        return Forgotten(agent_id=notice.agent_id, tool_id=notice.tool_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear what others were told, for ever; whenever notices may have been lost, nothing is kept.

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
        # Here at once: whoever is answered may rely on this process.
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
