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
        # Applied here at once: the client may rely on it after the answer.
        self._take(notice)
        await self.changes.publish(orjson.dumps(notice))

    def _take(self, notice: dict[str, Any]) -> None:
        if notice["kind"] == _AGENT:
            self.catalog.forget_agent(notice["tenant_id"], notice["agent_id"])
        else:
            self.catalog.forget_tools(notice["tenant_id"], tool_id=notice["tool_id"], agent_id=notice["agent_id"])


def _read(payload: bytes) -> dict[str, Any] | None:
    """Read an announcement; None where it is of another version, so that anything may have changed."""
    try:
        notice = orjson.loads(payload)
        known = {"tenant_id", "agent_id"} | ({"tool_id"} if notice["kind"] == _TOOL else set())
        return notice if notice["kind"] in {_AGENT, _TOOL} and known <= notice.keys() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
