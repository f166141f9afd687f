"""Chat as the platform's documents write it."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.platform.served import MESSAGE, SESSION, Served, lacks, sent
from tests.platform.vectors import vector

HISTORY = "/api/v1/chat.history/"


def moment(seconds: float) -> str:
    """A moment so many seconds from now."""
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def talked(served: Served) -> str:
    """A session with six messages."""
    session_id = served.session()
    for content in ("one", "two", "three"):
        assert served.say(session_id, content, mode="wait").status == 200
    return session_id


def test_a_message_is_taken_and_its_metadata_kept_as_sent(served: Served) -> None:
    session_id = served.session()
    request = sent("rest-chat-message-req", {SESSION: session_id})
    said = served.ask("POST", "/api/v1/chat.message", request)
    assert lacks("rest-chat-message-res", said, "estimated_time_seconds") == []
    assert said.data["chat_message_id"] == said.data["message_id"] == request["message_id"]
    assert said.data["workflow_id"] == said.data["task_id"]
    assert said.data["status"] in {"queued", "processing"}
    path = f"/api/v1/workflow.status/{said.data['workflow_id']}"
    served.until("the turn ends", lambda: served.ask("GET", path).data, lambda run: run["status"] == "completed")
    told = served.ask("GET", HISTORY + session_id).data["messages"][0]
    assert told["content_type"] == "text/plain"
    assert (told["metadata"], told["content"]) == (request["data"]["metadata"], request["data"]["content"])


def test_a_history_is_told_under_both_names(served: Served, talked: str) -> None:
    told = served.ask("GET", f"{HISTORY}{talked}?limit=2")
    assert lacks("rest-chat-history-res", told) == []
    assert told.data["messages"] == told.data["items"]
    assert [message["content"] for message in told.data["messages"]] == ["three", "three"]
    cursor = told.json["meta"]["pagination"]["next_cursor"]
    before = served.ask("GET", f"{HISTORY}{talked}?limit=2&before={cursor}")
    assert [message["content"] for message in before.data["messages"]] == ["two", "two"]


def test_moments_bound_a_history_alone_and_together(served: Served, talked: str) -> None:
    whole = served.ask("GET", HISTORY + talked).data["messages"]
    between = f"after={whole[2]['created_at']}&before={whole[4]['created_at']}"
    assert served.ask("GET", f"{HISTORY}{talked}?{between}").data["messages"] == whole[2:4]
    named = f"{HISTORY}{talked}?before={whole[4]['message_id']}&limit=2"
    assert served.ask("GET", named).data["messages"] == whole[2:4]
    assert served.ask("GET", f"{HISTORY}{talked}?before={whole[2]['created_at']}").data["messages"] == whole[:2]
    first = served.ask("GET", f"{HISTORY}{talked}?limit=2&after={moment(-3600)}")
    assert first.data["messages"] == whole[:2]
    cursor = first.json["meta"]["pagination"]["next_cursor"]
    assert served.ask("GET", f"{HISTORY}{talked}?limit=2&after={cursor}").data["messages"] == whole[2:4]
    assert served.ask("GET", f"{HISTORY}{talked}?after={moment(3600)}").data["messages"] == []
    last = served.ask("GET", f"{HISTORY}{talked}?limit=1&before={moment(60)}")
    assert last.data["messages"] == whole[-1:]
    going_on = last.json["meta"]["pagination"]["next_cursor"]
    assert served.ask("GET", f"{HISTORY}{talked}?limit=1&before={going_on}").data["messages"] == whole[-2:-1]


def test_the_documented_history_is_taken(served: Served, talked: str) -> None:
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    query = urlencode(vector("rest-chat-history-req").filled({}, half_an_hour_ago)["query"])
    told = served.ask("GET", f"{HISTORY}{talked}?{query}")
    assert (told.status, len(told.data["messages"])) == (200, 6)


def test_pages_are_counted_only_where_they_are_asked_for(served: Served, talked: str) -> None:
    whole = served.ask("GET", HISTORY + talked)
    assert not {"page", "total_pages"} & whole.json["meta"]["pagination"].keys()
    page = served.ask("GET", f"{HISTORY}{talked}?page=2&per_page=4")
    assert lacks("rest-chat-history-page-res", page, "next_cursor") == []
    assert page.data["items"] == whole.data["items"][:2]
    counts = page.json["meta"]["pagination"]
    assert (counts["page"], counts["per_page"], counts["total_items"], counts["total_pages"]) == (2, 4, 6, 2)
    numbered = served.ask("GET", f"{HISTORY}{talked}?limit=4&offset=4")
    assert (numbered.data["items"], numbered.json["meta"]["pagination"]["page"]) == (page.data["items"], 2)
    first = served.ask("GET", f"{HISTORY}{talked}?page=1&per_page=4")
    assert lacks("rest-chat-history-page-res", first) == []
    assert first.data["items"] == whole.data["items"][2:]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("page=0", "$.query.page"),
        ("page=1&before=m1", "$.query.page"),
        ("per_page=5&limit=5", "$.query.per_page"),
        ("before=2026-01-15T10:00", "$.query.before"),
        ("before=2026-01-15T10:00:00Z&until=2026-01-15T10:00:00Z", "$.query.before"),
    ],
)
def test_a_history_that_is_asked_for_wrongly_is_refused(served: Served, talked: str, query: str, path: str) -> None:
    assert served.ask("GET", f"{HISTORY}{talked}?{query}").fault == (400, "ORCH_VAL_003", path)


def test_a_message_is_cancelled_with_a_body_and_the_reason_is_kept(served: Served) -> None:
    session_id = served.session("confirm")
    said = served.say(session_id, "send the letter").data
    path = f"/api/v1/task.get/{said['task_id']}"
    served.until("it waits", lambda: served.ask("GET", path).data, lambda task: task["status"] == "waiting")
    ids = {SESSION: session_id, MESSAGE: said["message_id"]}
    path = f"/api/v1/chat.cancel/{said['message_id']}"
    other = sent("rest-chat-cancel-req", {SESSION: session_id})
    assert served.ask("POST", path, other).fault == (422, "ORCH_VAL_002", "$.data.target_message_id")
    nothing = {"chat_message_id": None, "target_message_id": None, "message_id": "a:b"}
    assert served.ask("POST", path, {"data": nothing}).fault == (400, "ORCH_VAL_001", "$.data.message_id")
    assert served.ask("POST", path, {"data": {"chat_message_id": "m"}}).fault[2] == "$.data.chat_message_id"
    elsewhere = sent("rest-chat-cancel-req", {MESSAGE: said["message_id"]})
    assert served.ask("POST", path, elsewhere).fault == (422, "ORCH_VAL_002", "$.data.session_id")
    stopped = served.ask("POST", path, sent("rest-chat-cancel-req", ids))
    assert lacks("rest-chat-cancel-res", stopped) == []
    assert stopped.data["message_id"] == stopped.data["target_message_id"]
    assert stopped.data["cancelled"] is True
    assert served.ask("GET", f"/api/v1/task.get/{said['task_id']}").data["cancel_reason"] == "user_requested"
    assert served.ask("POST", path).status == 200


def test_a_message_is_deleted_and_a_conversation_summed_up(served: Served) -> None:
    session_id = served.session()
    last = served.say(session_id, "gone", mode="wait").data["parent_message_id"]
    summary = served.ask("GET", f"/api/v1/chat.summary/{session_id}")
    assert (lacks("rest-envelope-res", summary), summary.data["session_id"]) == ([], session_id)
    assert summary.data["message_count"] == 1
    request = sent("rest-chat-others-req")
    assert served.ask("DELETE", f"/api/v1/chat.delete/{last}", request).data == {"message_id": last, "deleted": True}
    assert last not in [message["message_id"] for message in served.ask("GET", HISTORY + session_id).data["messages"]]
