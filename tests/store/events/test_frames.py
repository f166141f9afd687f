"""Frames."""

import orjson

from orchestrator.models.events.events import ChatStatusUpdate, Event, StateUpdate
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.events.frames import frame, make_body


def test_a_frame_is_its_body_with_offset_and_epoch() -> None:
    data = ChatStatusUpdate("m1", "t1", MessageStatus.QUEUED)
    body = make_body("chat.status_update", data, tenant_id="acme", correlation_id="c1")
    read = orjson.loads(frame(Event(7, "e1", "chat.status_update", body)))
    assert (read["offset"], read["epoch"]) == (7, "e1")
    assert read["type"] == {"domain": "chat", "action": "status_update"}
    assert read["data"]["status"] == "queued"
    assert {key: value for key, value in read.items() if key not in {"offset", "epoch"}} == orjson.loads(body)


def test_a_state_update_names_its_own_offset_in_its_data() -> None:
    data = StateUpdate("s1", SessionState.ACTIVE, 20)
    body = make_body("session.state_update", data, tenant_id="acme", correlation_id="c1")
    read = orjson.loads(frame(Event(3, "e2", "session.state_update", body)))
    assert (read["offset"], read["epoch"]) == (3, "e2")
    assert (read["data"]["offset"], read["data"]["epoch"]) == (3, "e2")
    assert read["data"]["state_code"] == 20
