"""The golden messages say what the models make of them."""

from typing import Any, Final

import orjson
import pytest

from orchestrator.codec import decode, parse_json, structure
from orchestrator.errors import OrchestratorError
from orchestrator.models.common.envelope import RequestEnvelope
from orchestrator.models.plans.workflow import WorkflowExecute, WorkflowInput
from orchestrator.models.sessions.chat import ChatMessage
from orchestrator.models.sessions.session import SessionCreate
from orchestrator.models.tasks.batch import BatchCreate
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.routes.http.bodies import open_envelope
from orchestrator.sandbox.data_files import data_folder
from orchestrator.websocket.handlers import HANDLERS

GOLDEN: Final = data_folder("fixtures") / "golden"
INDEX: Final[list[dict[str, Any]]] = orjson.loads((GOLDEN / "index.json").read_bytes())
BODIES: Final[dict[str, type]] = {
    "session.create": SessionCreate,
    "chat.message": ChatMessage,
    "batch.create": BatchCreate,
    "workflow.execute": WorkflowExecute,
    "workflow.input": WorkflowInput,
}
# Reading 1.0, and the frames' own envelope, are the business of those who read queues and sockets.
TASKS: Final = [
    entry for entry in INDEX if entry["kind"] == "task_message" and not entry["file"].startswith("tasks/1.0")
]
HTTP: Final = [entry for entry in INDEX if entry["kind"].startswith("http:")]
FRAMES: Final = [entry for entry in INDEX if entry["kind"] == "frame"]


def name(entry: dict[str, Any]) -> str:
    return str(entry["file"])


def read_task(raw: bytes, entry: dict[str, Any]) -> None:
    decode(raw, TaskMessage)


def read_http(raw: bytes, entry: dict[str, Any]) -> None:
    route = entry["kind"].split()[1]
    envelope, path = open_envelope(raw, route, "acme")
    structure(envelope.data, BODIES[route], path)


def read_frame(raw: bytes, entry: dict[str, Any]) -> None:
    envelope = structure(parse_json(raw), RequestEnvelope)
    structure(envelope.data, HANDLERS[str(envelope.type)].model, "$.data")


def check(entry: dict[str, Any], read: Any) -> None:
    raw = (GOLDEN / entry["file"]).read_bytes()
    if entry["valid"]:
        read(raw, entry)
        return
    with pytest.raises(OrchestratorError) as caught:
        read(raw, entry)
    assert caught.value.code == entry["error"]["code"]
    assert caught.value.details[0].path == entry["error"]["path"]


@pytest.mark.parametrize("entry", TASKS, ids=name)
def test_a_task_message_is_read_or_refused_as_the_index_says(entry: dict[str, Any]) -> None:
    check(entry, read_task)


@pytest.mark.parametrize("entry", HTTP, ids=name)
def test_a_body_is_read_or_refused_as_the_index_says(entry: dict[str, Any]) -> None:
    check(entry, read_http)


@pytest.mark.parametrize(
    "entry", [entry for entry in FRAMES if entry.get("error", {}).get("path") != "$.type"], ids=name
)
def test_a_frame_is_read_or_refused_as_the_index_says(entry: dict[str, Any]) -> None:
    check(entry, read_frame)


@pytest.mark.parametrize("entry", [entry for entry in INDEX if "upgraded" in entry], ids=name)
def test_an_upgraded_message_is_a_valid_message(entry: dict[str, Any]) -> None:
    assert decode((GOLDEN / entry["upgraded"]).read_bytes(), TaskMessage).schema_version == "1.1"


def test_every_file_is_in_the_index() -> None:
    named = {entry["file"] for entry in INDEX} | {entry["upgraded"] for entry in INDEX if "upgraded" in entry}
    there = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.json")} - {"index.json"}
    assert there == named
