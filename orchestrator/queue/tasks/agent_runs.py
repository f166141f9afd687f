"""Runs of an agent outside of any session: a question, answered as an item of a batch is."""

from typing import Final

from orchestrator.queue.tasks.batch_items import BatchItems
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.agents.agent_runs import AGENT_RUN


def _handler(deps: TaskDeps) -> BatchItems:
    return BatchItems(deps.queue, deps.core.questions, "run of the agent")


agent_run: Final = RunnableKind(AGENT_RUN, _handler)
