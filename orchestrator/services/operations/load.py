"""The load of the service: its processes, and the tenants that have work."""

from typing import Final

from attrs import frozen

from orchestrator.domain.load import sum_up
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.load import Load, Node
from orchestrator.models.operations.tenant import Queue
from orchestrator.services.operations.system_events import SystemEvents
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.store.operations.nodes import Nodes
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.scheduling.ready import ReadyTenants

_LOOKED_AT: Final = 500
NOTICES: Final = 20


@frozen
class LoadService:
    """Shows processes and queues.

    Args:
        nodes: the processes.
        ready: the tenants whose turn is to come.
        tenants: their queues.
        node_timeout_ms: after so long without heartbeat a process is not live.
        notices: what happened to the service; None: unknown.
    """

    nodes: Nodes
    ready: ReadyTenants
    tenants: TenantStates
    node_timeout_ms: int
    notices: SystemEvents | None = None

    async def list_nodes(self) -> list[Node]:
        """List the processes."""
        return await self.nodes.list(self.node_timeout_ms)

    async def load(self, top: int, notices: int = NOTICES) -> Load:
        """Sum up the load, with the `top` tenants that have most work, and the last `notices`."""
        nodes = await self.list_nodes()
        ready, first = await self.ready.first(_LOOKED_AT)
        names = set(first)
        for node in nodes:
            if node.load is not None:
                names |= node.load.tenants.keys()
        every = await self.tenants.names()
        # Those that are paused or wait for a moment are in neither; where tenants are few, they are looked at all.
        names |= set(every[: max(0, _LOOKED_AT - len(names))])
        queues: list[Queue] = []

        async def look(tenant_id: str) -> None:
            queues.append(await self.tenants.queue(tenant_id))

        async with open_joined_nursery() as nursery:
            for name in sorted(names)[:_LOOKED_AT]:
                nursery.start_soon(look, name)
        told = await self.notices.last(notices) if self.notices is not None and notices else []
        return sum_up(to_timestamp(now_ms()), nodes, queues, ready=ready, top=top, notices=told)
