"""Runs of an agent that other programs ask for through the queue: each is a task, whose result is the answer."""

from typing import Final

from orchestrator.models.common.envelope import MessageType
from orchestrator.services.tasks.payloads import GIVEN_ALONG, PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind

AGENT_RUN: Final = TaskKind(
    MessageType("agent", "execute"),
    payload={
        "agent_id": PayloadField(str),
        "content": PayloadField(str),
        "message_id": PayloadField(str),
        "version": PayloadField(str, required=False),
        "agent_parameters": PayloadField(dict, required=False),
        "max_tokens": PayloadField(int, required=False, least=1),
        **GIVEN_ALONG,
    },
    priority=3,
)
