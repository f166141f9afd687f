"""Which version of an agent answers: the one that a turn began with, however often it has to begin again."""

from typing import Final

from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.plans.attempt import Attempt
from orchestrator.store.records import as_text, reading

AGENT_VERSION: Final = "agent_version"
"""Checkpoint: the agent and its version that answer this task."""


async def agent_of(run: Attempt, call: CallContext, catalog: AgentCatalog) -> AgentConfig:
    """Return the agent that answers a task, and keep its version for later attempts.

    It is the version that an earlier attempt began with; at first that which the session is bound to
    (`agent.assign`), or else the latest.

    Raises:
        NotFound: the tenant has no such agent, or not in this version.
        ServiceFault: Agent Management is away, and stayed so.
        FencedOut: another worker has taken the task over.
    """
    chosen = run.checkpoints.get(AGENT_VERSION)
    if chosen is not None:
        with reading("task", run.message.task_id):
            agent_id, version = as_text(chosen["agent_id"]), as_text(chosen["version"])
        return await catalog.agent(call, agent_id or "", version)
    agent_id = run.session.agent_id
    agent = await catalog.agent(call, agent_id, run.session.pinned_version)
    await run.checkpoint(AGENT_VERSION, {"agent_id": agent_id, "version": agent.version})
    return agent
