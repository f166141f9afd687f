"""Whether an agent is there, asked by those who need not know: they go on where the answer does not come in time."""

from typing import Final, Protocol

import trio

from orchestrator.errors import ServiceFault
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.principal import RequestContext
from orchestrator.services.shared.call_contexts import call_for

LOOK_SECONDS: Final = 1.0
"""How long an agent is looked for; where that can't be told in time, the work itself finds out."""


class Agents(Protocol):
    """Looks agents up; `AgentCatalog` does."""

    async def look(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        """Return an agent's configuration; raises NotFound, or at once ServiceFault where that can't be told."""


async def must_exist(agents: Agents, ctx: RequestContext, agent_id: str, version: str | None = None) -> None:
    """Refuse an agent that is not there.

    Raises:
        NotFound: Agent Management says so. Where it is away, nothing is said, and the work is taken in.
    """
    try:
        # The call has the same deadline, and tells of it; this one holds for whatever it waits for besides.
        with trio.move_on_after(2 * LOOK_SECONDS):
            await agents.look(call_for(ctx, LOOK_SECONDS), agent_id, version)
    except ServiceFault:
        return
