"""Every block of JSON in the documentation is what the models read or write, and says which."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from orchestrator.clients.registry import OPERATIONS
from orchestrator.codec import decode, structure
from orchestrator.domain.plans.plans import check
from orchestrator.domain.tasks.task_messages import read_task_message
from orchestrator.models.common.envelope import AnswerMeta, ErrorBody, MessageType, RequestEnvelope, Status
from orchestrator.models.plans.plan_request import PlanRequest
from orchestrator.models.plans.workflow import WorkflowExecute
from orchestrator.models.sessions.chat import ChatMessage
from tests.support.documented import documented

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
FENCE: Final = re.compile(r"^```json *(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BODIES: Final[dict[str, type]] = {"chat.message": ChatMessage, "workflow.execute": WorkflowExecute}


def _request(block: Any) -> None:
    envelope = structure(block, RequestEnvelope)
    structure(envelope.data, BODIES[str(envelope.type)], "$.data")


def _answer(block: Any) -> None:
    structure(block["meta"], AnswerMeta)
    structure(block["status"], Status)
    structure(block["type"], MessageType)
    assert block["source_service"] == "agent-orchestrator"


def _plan(block: Any) -> None:
    structure(block, WorkflowExecute)
    check(structure(block["plan"], PlanRequest, "$.plan").plan("p", "acme"), OPERATIONS)


def _task(block: Any) -> None:
    read_task_message(orjson.dumps(block), block["tenant_id"])


READERS: Final[dict[str, Callable[[Any], object]]] = {
    "request": _request,
    "answer": _answer,
    "plan": _plan,
    "task": _task,
    "frame": documented,
    "error": lambda block: decode(orjson.dumps(block), ErrorBody),
}
"""What reads a block, by the word behind `json` where it begins."""


def blocks() -> Iterator[Any]:
    for page in PAGES:
        for number, (kind, text) in enumerate(FENCE.findall(page.read_text("utf-8")), 1):
            yield pytest.param(kind, text, id=f"{page.name}-{number}")


@pytest.mark.parametrize(("kind", "text"), [*blocks()])
def test_a_block_of_json_is_what_its_model_takes(kind: str, text: str) -> None:
    assert kind in READERS, "say behind `json` what the block is"
    READERS[kind](orjson.loads(text))
