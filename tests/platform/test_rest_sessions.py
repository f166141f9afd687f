"""Sessions as the platform's documents write them."""

from urllib.parse import urlencode

import pytest

from orchestrator.dialects.sessions import STATUSES
from orchestrator.models.common.ids import new_id
from orchestrator.models.sessions.session import SessionState
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access
from tests.platform.served import SESSION, Served, lacks, sent
from tests.platform.vectors import vector

CREATE = "/api/v1/session.create"
UPDATE = "/api/v1/session.update/"
READS = ("GET", Access.BEARER, None)
"""Method, access and media type of public routes that answer in the envelope."""


def test_a_session_is_created_and_its_metadata_kept_as_sent(served: Served) -> None:
    request = sent("rest-session-create-req")
    made = served.ask("POST", CREATE, request)
    assert lacks("rest-session-create-res", made) == []
    assert made.json["correlation_id"] == request["correlation_id"] == made.headers["X-Correlation-ID"]
    assert made.data["metadata"] == request["data"]["metadata"]
    assert (made.data["status"], made.data["state"], made.data["state_code"]) == ("active", "CREATED", 10)
    assert made.data["websocket_url"].endswith(f"/ws/v1/chat/{made.data['session_id']}")


def test_another_user_is_named_only_by_who_sees_the_whole_tenant(served: Served) -> None:
    body = {"agent_id": "echo", "user_id": "another"}
    assert served.ask("POST", CREATE, body).fault[:2] == (403, "ORCH_AUTH_003")
    assert served.ask("POST", CREATE, body, token=served.admin_token).data["user_id"] == "another"


def test_the_request_of_the_data_models_is_taken(served: Served) -> None:
    request = sent("rest-session-create-models-req")
    made = served.ask("POST", CREATE, request)
    assert (made.status, made.data["context"]) == (201, request["initial_context"])
    twice = served.ask("POST", CREATE, {**request, "context": {}})
    assert twice.fault == (400, "ORCH_VAL_001", "$.initial_context")
    elsewhere = served.ask("POST", CREATE, {**request, "tenant_id": "globex"})
    assert elsewhere.fault == (403, "ORCH_AUTH_002", "$.tenant_id")
    malformed = served.ask("POST", CREATE, {**request, "initial_context": [1]})
    assert malformed.fault == (400, "ORCH_VAL_001", "$.initial_context")
    unknown = served.ask("POST", CREATE, {**request, "colour": "red"})
    assert unknown.fault == (400, "ORCH_VAL_001", "$.colour")


def test_headers_of_the_documents_are_taken_on_a_public_route(served: Served) -> None:
    headers = {**vector("hdr-client").example, "Authorization": f"Bearer {served.token}"}
    first = served.http.post(served.url + CREATE, json={"agent_id": "echo"}, headers=headers)
    again = served.http.post(served.url + CREATE, json={"agent_id": "echo"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["data"]["session_id"] == again.json()["data"]["session_id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.json()["correlation_id"] == headers["X-Correlation-ID"] == first.headers["X-Correlation-ID"]


def test_headers_of_the_documents_are_taken_on_every_public_route_that_reads(served: Served) -> None:
    documented = vector("hdr-client").example
    headers = {name: documented[name] for name in documented.keys() - {"Authorization"}} | {"X-Message-ID": new_id()}
    session_id = served.session()
    said = served.ask("POST", "/api/v1/chat.message", {"session_id": session_id, "content": "hi"}, **headers)
    assert served.ask("GET", f"/api/v1/task.get/{said.data['task_id']}").data["priority"] == 3
    reading = [route for route in ROUTES if (route.method, route.access, route.media_type) == READS]
    assert len(reading) > 15
    for route in reading:
        path = f"/api/v1/{route.name}" + (f"/{session_id}" if route.id_name else "")
        told = served.ask("GET", path, **headers)
        assert told.status in {200, 403, 404}, (path, told.json)
        assert told.headers["X-Correlation-ID"] == documented["X-Correlation-ID"], path


def test_a_session_is_shown_with_its_documented_names(served: Served) -> None:
    session_id = served.session()
    assert served.say(session_id, mode="wait").status == 200
    shown = served.ask("GET", f"/api/v1/session.get/{session_id}")
    assert lacks("rest-session-get-res", shown) == []
    assert shown.data["messages_count"] == shown.data["message_count"] == 1
    assert shown.data["last_activity"] == shown.data["last_activity_at"]
    assert shown.data["status"] == STATUSES[SessionState(shown.data["state"])]


def test_the_documented_list_is_taken(served: Served) -> None:
    query = urlencode(sent("rest-session-list-req")["query"])
    listed = served.ask("GET", f"/api/v1/session.list?{query}")
    told = listed.json["meta"]["pagination"]
    assert (listed.status, told["limit"], told["offset"]) == (200, 20, 20)
    assert all(item["status"] == "active" for item in listed.data["items"])


def test_sessions_are_listed_by_status_and_offset_with_their_number(served: Served) -> None:
    for _ in range(3):
        closed = served.session()
        served.ask("DELETE", f"/api/v1/session.close/{closed}")
    query = "status=closed&limit=2&offset=1"
    listed = served.ask("GET", f"/api/v1/session.list?{query}")
    assert lacks("rest-session-list-res", listed) == []
    assert {item["status"] for item in listed.data["items"]} == {"closed"}
    whole = served.ask("GET", "/api/v1/session.list?status=closed&limit=200")
    total = whole.json["meta"]["pagination"]["total"]
    assert total == len(whole.data["items"]) >= 3
    assert listed.json["meta"]["pagination"]["total"] == total
    assert listed.data["items"] == whole.data["items"][1:3]
    plain = served.ask("GET", "/api/v1/session.list?limit=1")
    assert lacks("rest-session-list-res", plain) == []
    assert plain.json["meta"]["pagination"]["has_more"] is True
    cursor = plain.json["meta"]["pagination"]["next_cursor"]
    following = served.ask("GET", f"/api/v1/session.list?limit=1&cursor={cursor}")
    numbered = served.ask("GET", "/api/v1/session.list?limit=1&offset=1")
    assert following.data["items"] == numbered.data["items"]
    assert "total" not in following.json["meta"]["pagination"]
    page = served.ask("GET", "/api/v1/session.list?status=closed&page=2&per_page=2")
    assert page.data["items"] == whole.data["items"][2:4]
    assert page.json["meta"]["pagination"].items() >= {"page": 2, "per_page": 2, "total_items": total}.items()
    assert "page" not in whole.json["meta"]["pagination"]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("status=asleep", "$.query.status"),
        ("status=active&state=ACTIVE", "$.query.status"),
        ("offset=1&cursor=MTox", "$.query.offset"),
        ("offset=-1", "$.query.offset"),
        ("states=ACTIVE,ASLEEP", "$.query.states"),
    ],
)
def test_a_list_that_is_asked_for_wrongly_is_refused(served: Served, query: str, path: str) -> None:
    assert served.ask("GET", f"/api/v1/session.list?{query}").fault == (400, "ORCH_VAL_003", path)


def test_an_update_pauses_a_session_and_sets_its_end(served: Served) -> None:
    session_id = served.session()
    served.say(session_id, mode="wait")
    request = sent("rest-session-update-req")
    changed = served.ask("PUT", UPDATE + session_id, request)
    assert (changed.status, changed.data["state"], changed.data["status"]) == (200, "PAUSED", "inactive")
    assert (changed.data["context"], changed.data["metadata"]) == (request["context"], request["metadata"])
    assert changed.data["expires_at"] > changed.data["updated_at"]
    resumed = served.ask("PUT", UPDATE + session_id, {"status": "active"})
    assert resumed.data["state"] == "ACTIVE"
    refused = served.ask("PUT", UPDATE + session_id, {"status": "active", "context": {"kept": False}})
    assert refused.fault[:2] == (409, "ORCH_SESS_002")
    assert served.ask("GET", f"/api/v1/session.get/{session_id}").data["context"] == request["context"]
    assert served.ask("PUT", UPDATE + session_id, {"status": "closed"}).data["state"] == "TERMINATED"
    assert served.ask("PUT", UPDATE + session_id, {"status": "active"}).status == 410


def test_an_update_that_says_twice_what_it_wants_is_refused(served: Served) -> None:
    session_id = served.session()
    both = served.ask("PUT", UPDATE + session_id, {"status": "paused", "move": "pause"})
    assert both.fault == (400, "ORCH_VAL_001", "$.status")
    assert served.ask("PUT", UPDATE + session_id, {"status": "error"}).fault == (400, "ORCH_VAL_001", "$.status")
    twice = served.ask("PUT", UPDATE + session_id, {"data": {"session_ttl": 60, "ttl_seconds": 60}})
    assert twice.fault == (400, "ORCH_VAL_001", "$.data.session_ttl")


@pytest.mark.parametrize("bare", [True, False])
def test_the_moves_take_an_envelope_or_no_body(served: Served, bare: bool) -> None:
    session_id = served.session()
    served.say(session_id, mode="wait")
    for method, action, state in (
        ("PUT", "pause", "PAUSED"),
        ("PUT", "resume", "ACTIVE"),
        ("DELETE", "close", "TERMINATED"),
    ):
        request = sent("rest-session-moves-req", {SESSION: session_id})
        request["type"]["action"] = action
        moved = served.ask(method, f"/api/v1/session.{action}/{session_id}", None if bare else request)
        assert (moved.status, moved.data["state"]) == (200, state)
