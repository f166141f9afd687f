"""What a claimed task does, one module a kind."""

from typing import Final

from orchestrator.queue.tasks.agent_runs import agent_run
from orchestrator.queue.tasks.batch_items import batch_item
from orchestrator.queue.tasks.chat_tasks import chat_turn
from orchestrator.queue.tasks.delegation_tasks import cancel_task, tool_run
from orchestrator.queue.tasks.plan_tasks import workflow
from orchestrator.queue.tasks.queued_steps import queued_step
from orchestrator.queue.tasks.registry import RunnableKind
from orchestrator.queue.tasks.result_queues import result_sender
from orchestrator.queue.tasks.webhooks import webhook
from orchestrator.services.tasks.task_kinds import TaskKinds

TASK_KINDS: Final[tuple[RunnableKind, ...]] = (
    chat_turn,
    batch_item,
    workflow,
    webhook,
    tool_run,
    cancel_task,
    agent_run,
    queued_step,
    result_sender,
)
"""Every kind of task, with what runs it."""
KNOWN_KINDS: Final = TaskKinds.of(one.kind for one in TASK_KINDS)
"""The same without what runs them, for services."""
