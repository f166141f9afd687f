"""Documented forms of clients' frames are read beside this service's own, each as strictly as the other."""

from typing import Any

import pytest

from orchestrator.errors import InvalidBody
from orchestrator.models.events.events import SessionSync, SystemPing
from orchestrator.models.plans.workflow import WorkflowCancel
from orchestrator.websocket.dialects.client_frames import FORMS, RunCancel, SyncByMessage, read_frame
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
    ],
)
def test_a_frame_is_read_in_the_form_that_it_has(name: str, data: Any, kind: type) -> None:
    assert type(read(name, data)) is kind


def test_a_documented_name_stands_for_this_service_s_own() -> None:
    assert read("workflow.cancel", {"workflow_id": "t1"}) == RunCancel("t1")


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
        ("chat.cancel", {"workflow_id": "t1", "message_id": "m1"}, "$.data.workflow_id"),
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
