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
            StoreUnavailable: Redis is away at the start.
        """
        async with self.changes.follow() as announcements:
            task_status.started()
            async for payload in announcements:
                if payload is not None and (notice := _read(payload)) is not None:
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


def _read(payload: bytes) -> dict[str, Any] | None:
    """Read a notice; None where it is none of this version, so that anything may have changed."""
    try:
        notice = orjson.loads(payload)
        known = {"tenant_id", "agent_id"} | ({"tool_id"} if notice["kind"] == _TOOL else set())
        return notice if notice["kind"] in {_AGENT, _TOOL} and known <= notice.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
