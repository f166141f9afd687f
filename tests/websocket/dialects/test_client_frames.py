"""Documented forms of clients' frames are read beside this service's own, each as strictly as the other."""

from typing import Any

import pytest

from orchestrator.errors import InvalidBody
from orchestrator.models.events.events import ChatCancel, SessionSync, SystemPing
from orchestrator.models.plans.workflow import WorkflowCancel, WorkflowInputFrame
from orchestrator.websocket.dialects.client_frames import (
    FORMS,
    ClientState,
    MessageCancel,
    RunCancel,
    SyncByMessage,
    read_frame,
)
from orchestrator.websocket.dialects.described import EXAMPLES
from orchestrator.websocket.handlers import HANDLERS
from tests.platform.vectors import vectors
from tests.support.documented import name_of, validator


def read(name: str, data: Any) -> Any:
    return read_frame(name, data, HANDLERS[name].model)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("session.sync", {"last_offset": 3, "epoch": "e1"}, SessionSync),
        ("session.sync", {"last_message_id": None}, SyncByMessage),
        ("session.sync", {"session_id": "s1", "last_offset": 3, "epoch": "e1"}, SyncByMessage),
        ("system.ping", {}, SystemPing),
        ("workflow.cancel", {"task_id": "t1"}, WorkflowCancel),
        ("workflow.cancel", {"task_id": "t1", "notify_user": False}, RunCancel),
        ("chat.cancel", {"message_id": "m1"}, ChatCancel),
        ("chat.cancel", {"message_id": "m1", "reason": "enough"}, MessageCancel),
    ],
)
def test_a_frame_is_read_in_the_form_that_it_has(name: str, data: Any, kind: type) -> None:
    assert type(read(name, data)) is kind


@pytest.mark.parametrize(
    ("name", "data", "own"),
    [
        ("workflow.cancel", {"workflow_id": "t1"}, RunCancel("t1")),
        ("workflow.cancel", {"workflow_id": None, "task_id": "t1", "notify_user": None}, RunCancel("t1")),
        ("chat.cancel", {"target_message_id": "m1", "session_id": "s1"}, MessageCancel("m1", "s1")),
        ("chat.cancel", {"chat_message_id": "m1", "target_message_id": None}, MessageCancel("m1")),
        ("workflow.input", {"request_id": "q1", "input_data": 3}, WorkflowInputFrame("q1", 3)),
        ("workflow.input", {"step_id": "n1", "inputs": 3, "workflow_id": "t1"}, WorkflowInputFrame("n1", 3, "t1")),
        ("session.sync", {"client_state": {"active_workflows": None}}, SyncByMessage(client_state=ClientState())),
    ],
)
def test_a_documented_name_stands_for_this_service_s_own(name: str, data: Any, own: object) -> None:
    assert read(name, data) == own


@pytest.mark.parametrize(("kind", "media_type"), [("text", "text/plain"), ("image/png", "image/png")])
def test_a_kind_of_content_is_the_media_type_that_it_stands_for(kind: str, media_type: str) -> None:
    assert read("chat.message", {"content": "hello", "content_type": kind}).content_type == media_type


@pytest.mark.parametrize(
    ("name", "data", "path"),
    [
        ("session.sync", {}, "$.data.last_offset"),
        ("session.sync", {"session_id": "s1", "mood": "good"}, "$.data.mood"),
        ("session.sync", {"client_state": {"active_workflows": ["a:b"]}}, "$.data.client_state.active_workflows[0]"),
        ("session.sync", {"client_state": {"active_workflows": ["t"] * 51}}, "$.data.client_state.active_workflows"),
        ("system.ping", {"client_info": {"colour": "red"}}, "$.data.client_info.colour"),
        ("workflow.cancel", {"workflow_id": "t1", "task_id": "t1"}, "$.data.workflow_id"),
        ("workflow.cancel", {"workflow_id": "t1", "notify_user": "no"}, "$.data.notify_user"),
        ("workflow.cancel", {"workflow_id": "no id!"}, "$.data.workflow_id"),
        ("workflow.cancel", {"workflow_id": None, "task_id": "no id!"}, "$.data.task_id"),
        ("chat.cancel", {"workflow_id": "t1", "message_id": "m1"}, "$.data.workflow_id"),
        ("chat.cancel", {"target_message_id": "no id!"}, "$.data.target_message_id"),
        ("workflow.input", {"request_id": "q1", "node_id": "n1", "input": 1}, "$.data.request_id"),
    ],
)
def test_what_no_form_names_is_refused_with_its_path(name: str, data: Any, path: str) -> None:
    with pytest.raises(InvalidBody) as refused:
        read(name, data)
    assert path in [fault.path for fault in refused.value.details]


@pytest.mark.parametrize("name", FORMS)
def test_the_example_of_a_form_is_one(name: str) -> None:
    assert type(read(name, EXAMPLES[name])) is FORMS[name].model


def test_every_documented_frame_of_a_client_is_described() -> None:
    documented = [one.example for one in vectors().values() if one.id.startswith("ws-cl-")]
    assert len(documented) == 5
    for frame in documented:
        name = name_of(frame)
        validator("documented" if name in FORMS else "client", name).validate(frame)
