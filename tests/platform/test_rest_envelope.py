"""What is the same for all routes, as the platform's documents write it."""

from typing import Any

import pytest

from tests.platform.served import SESSION, Served, lacks, sent
from tests.platform.vectors import missing, vector

AGENT = "calculator"


def test_every_answer_travels_in_the_documented_envelope(served: Served) -> None:
    session_id = served.session()
    for path in (f"session.get/{session_id}", "session.list", "agent.list", "tool.list", "task.list", "usage.get"):
        assert lacks("rest-envelope-res", served.ask("GET", f"/api/v1/{path}")) == [], path


def test_the_routes_of_agents_answer_in_it(served: Served) -> None:
    session_id = served.session()
    listed = served.ask("GET", "/api/v1/agent.list")
    shown = served.ask("GET", f"/api/v1/agent.get/{AGENT}")
    assigned = served.ask("PUT", f"/api/v1/agent.assign/{session_id}", sent("rest-agent-routes-req"))
    assert [lacks("rest-envelope-res", told) for told in (listed, shown, assigned)] == [[], [], []]
    assert assigned.data["agent_id"] == AGENT
    message_id = served.say(session_id, "1 + 1", mode="wait").data["parent_message_id"]
    other = {"message_id": message_id, "rating": 5, "agent_id": "echo"}
    assert served.ask("POST", "/api/v1/agent.feedback", other).fault == (422, "ORCH_VAL_002", "$.data.agent_id")
    body = {"data": {"chat_message_id": message_id, "rating": 5, "agent_id": AGENT}}
    assert served.ask("POST", "/api/v1/agent.feedback", body).status == 200


@pytest.mark.parametrize("name", ["liveness", "readiness"])
def test_health_is_told_under_both_names(served: Served, name: str) -> None:
    own = {"liveness": "live", "readiness": "ready"}[name]
    told, ours = (served.http.get(f"{served.url}/health/{one}") for one in (name, own))
    assert (told.status_code, told.json().keys()) == (200, ours.json().keys())
    assert told.json()["status"] == "ok"
    if name == "readiness":
        documented = vector("rest-health-res").example
        # Checks may be objects, and are named for what there is.
        assert missing({**documented, "checks": {}}, told.json()) == []
        assert documented["checks"].keys() - told.json()["checks"].keys() == {"database"}


def test_every_documented_report_of_a_service_is_taken(served: Served) -> None:
    known = vector("rest-int-orchestrator-req")
    for route in str(known.route).split("; "):
        method, path = route.split(" ")
        key = served.admin_key if path.endswith("orchestrator.load") else served.internal_key
        domain, _, action = path.rpartition("/")[2].partition(".")
        message = {**sent(known.id), "type": {"domain": domain, "action": action}}
        told = served.ask(
            method, path, message if method == "POST" else None, **{"X-API-Key": key, "X-Tenant-ID": "acme"}
        )
        assert told.status == (200 if path.endswith("orchestrator.load") else 202), route
        assert told.data, route


@pytest.mark.parametrize("policy", ["notify_sessions", "apply_to_new_interactions", "force_update_sessions"])
def test_a_change_of_an_agent_is_taken_as_it_is_documented(served: Served, policy: str) -> None:
    key = {"X-API-Key": served.internal_key, "X-Tenant-ID": "acme"}
    session_id = served.session()
    bound = served.ask("PUT", f"/api/v1/agent.assign/{session_id}", {"agent_id": "echo", "version": "1.0.0"})
    assert bound.data["pinned_version"] == "1.0.0"
    change = sent("svc-am-update", {SESSION: session_id})
    latest = served.ask("GET", "/api/v1/agent.get/echo").data["version"]
    change["payload"] |= {"agent_id": "echo", "new_version": latest, "update_policy": policy}
    change["payload"]["active_sessions"].append(served.session("calculator"))
    known = {note["notification_id"] for note in _notes(served)}
    told = served.ask("POST", "/internal/v1/agent.updated", change, **key)
    assert (told.status, told.data["agent_id"]) == (200, "echo")
    fresh = [note["data"] for note in _notes(served) if note["notification_id"] not in known]
    assert fresh == ([{"agent_id": "echo", "version": latest}] if policy == "notify_sessions" else [])
    session = served.ask("GET", f"/api/v1/session.get/{session_id}").data
    assert session["pinned_version"] == (latest if policy == "force_update_sessions" else "1.0.0")
    nameless = {**change, "payload": {}}
    assert served.ask("POST", "/internal/v1/agent.updated", nameless, **key).fault[2] == "$.payload.agent_id"


def _notes(served: Served) -> list[Any]:
    return list(served.ask("GET", "/api/v1/notification.list").data["items"])


def test_the_documented_routes_of_operators_are_there(served: Served) -> None:
    key = {"X-API-Key": served.admin_key, "X-Tenant-ID": "acme"}
    routes = str(vector("rest-ops-req").route).replace("{session_id}", served.session()).split("; ")
    assert len(routes) == 3
    for route in routes:
        method, path = route.split(" ")
        assert served.ask(method, path, **key).status == 200, route
    assert served.http.get(f"{served.url}/metrics").status_code == 401


def test_operators_look_at_a_session_under_both_names(served: Served) -> None:
    session_id = served.session()
    key = {"X-API-Key": served.admin_key, "X-Tenant-ID": "acme"}
    own = served.ask("GET", f"/internal/v1/debug.session/{session_id}", **key)
    told = served.ask("GET", f"/internal/v1/debug/sessions/{session_id}", **key)
    assert (told.status, told.data["session"]) == (200, own.data["session"])
    assert served.http.get(f"{served.url}/metrics", headers={"X-API-Key": served.admin_key}).status_code == 200


def test_the_documented_security_headers_are_on_every_answer(served: Served) -> None:
    documented = vector("hdr-security").example
    for path in ("/api/v1/session.list", "/health", "/nowhere"):
        headers = served.http.get(served.url + path).headers
        for name in ("X-Content-Type-Options", "X-Frame-Options"):
            assert headers[name] == documented[name], path
        assert "default-src" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("prefix", ["/api", "/api/v1"])
def test_plain_paths_stand_for_the_routes(served: Served, prefix: str) -> None:
    request = sent("rest-plain-paths-req")
    made = served.ask("POST", f"{prefix}/sessions", request)
    assert (made.status, made.data["metadata"]) == (201, request["metadata"])
    session_id = made.data["session_id"]
    assert served.ask("GET", f"{prefix}/sessions/{session_id}").data["session_id"] == session_id
    said = served.ask("POST", f"{prefix}/sessions/{session_id}/messages", {"content": "hello"})
    assert (said.status, said.data["session_id"]) == (202, session_id)
    other = served.ask("POST", f"{prefix}/sessions/{session_id}/messages", {"content": "hi", "session_id": "another"})
    assert other.status == 422
    batch = served.ask("POST", f"{prefix}/batch", {"agent_id": "echo", "items": [{"content": "x"}]})
    assert batch.status == 202
    assert served.ask("GET", f"{prefix}/batch/{batch.data['batch_id']}").data["total"] == 1
    assert served.ask("DELETE", f"{prefix}/batch/{batch.data['batch_id']}").status == 200
    run = served.ask("POST", f"{prefix}/workflows", {"workflow_id": "arithmetic", "input": {"expression": "6*7"}})
    assert run.status == 202
    assert served.ask("GET", f"{prefix}/batches").status == 404


def test_a_plain_path_takes_the_envelope_of_its_route(served: Served) -> None:
    session_id = served.session()
    request = sent("rest-chat-message-req", {SESSION: session_id})
    assert served.ask("POST", f"/api/sessions/{session_id}/messages", request).status == 202
