"""The document is valid, and true for every route."""

import re
from typing import Any

import orjson
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from orchestrator.codec import structure
from orchestrator.errors import InvalidBody
from orchestrator.models.sessions.chat import ChatMessage
from orchestrator.models.sessions.session import SessionCreate
from orchestrator.routes import ROUTES
from orchestrator.routes.http.event_stream import EVENT_STREAM
from orchestrator.routes.http.pages import ASSETS
from orchestrator.routes.http.registry import Access
from orchestrator.schemas import Schemas
from tests.support.credentials import keyed
from tests.support.house import House


async def document(house: House) -> Any:
    reply = await house.call("GET", "/openapi.json", headers={})
    assert reply.status == 200
    return reply.json


async def test_the_document_is_valid() -> None:
    validate(await document(House()))


async def test_every_rule_is_in_the_document_and_every_path_of_the_document_is_a_rule() -> None:
    house = House()
    served = {
        (re.sub("<(.*?)>", r"{\1}", rule.rule), method.lower())
        for rule in house.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(f"{ASSETS}/")
    }
    described = {(path, method) for path, methods in (await document(house))["paths"].items() for method in methods}
    assert served == described


async def test_every_answer_is_as_the_document_says() -> None:
    house = House()
    whole = await document(house)
    paths, components = whole["paths"], {"components": whole["components"]}
    session_id = await house.session()
    ids = {
        "session_id": session_id,
        "message_id": "m1",
        "task_id": "t1",
        "batch_id": "b1",
        "schedule_id": "sch1",
        "correlation_id": "c1",
        "agent_id": "echo",
        "notification_id": "n1",
        "user_id": "ann",
        "workflow_id": "w",
        "integration_id": "mail",
    }
    bodies = {
        "session.create": {"agent_id": "docs-guide"},
        "session.update": {"metadata": {"a": 1}},
        "chat.message": {"session_id": session_id, "content": "hi"},
        "schedule.create": {"cron": "0 8 * * *", "agent_id": "echo", "content": "hi"},
        "schedule.update": {"enabled": False},
        "agent.assign": {"agent_id": "echo", "version": "1.0.0"},
        "agent.feedback": {"message_id": "m1", "rating": 5},
        "agent.updated": {"agent_id": "echo"},
        "notification.send": {"title": "Maintenance", "message": "At noon.", "user_ids": ["ann"]},
        "tool.execute": {"tool_id": "calculator", "parameters": {"expression": "6 * 7"}},
        "tool.updated": {},
        "batch.create": {"items": [{"content": "hi"}], "agent_id": "echo"},
    }
    # A stream that has no end has no answer to hold to the document.
    routes = [one for one in ROUTES if one.access is not Access.ADMIN and one.media_type != EVENT_STREAM]
    for route in [*(route for route in routes if route.name != "session.close"), *routes]:
        path = route.path.format(**ids)
        headers = None if route.access is Access.BEARER else keyed()
        body = bodies.get(route.name, None if route.access is Access.BEARER else {"query": "why?"})
        reply = await house.call(route.method, path, body, headers)
        schema = paths[route.path][route.method.lower()]["responses"][str(reply.status)]["content"]["application/json"][
            "schema"
        ]
        OAS31Validator({**components, **schema}).validate(reply.json)


async def test_every_route_says_who_may_call_it_and_how_it_fails() -> None:
    for path, methods in (await document(House()))["paths"].items():
        for operation in methods.values():
            assert operation["summary"].endswith(".")
            assert ("429" in operation["responses"]) is not path.startswith("/health"), "only probes are never too many"
            if path.startswith(("/api", "/internal")):
                assert operation["security"]
                assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"])
                assert "ORCH_AUTH_001" in operation["responses"]["401"]["description"]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (SessionCreate, {"agent_id": "a"}),
        (SessionCreate, {"agent_id": "a", "ttl_seconds": 60}),
        (SessionCreate, {"agent_id": "a", "ttl_seconds": 59}),
        (SessionCreate, {"agent_id": "a", "ttl_seconds": None}),
        (SessionCreate, {"agent_id": "a:b"}),
        (SessionCreate, {"agent_id": "a", "x": 1}),
        (SessionCreate, {}),
        (ChatMessage, {"session_id": "s", "content": ""}),
        (ChatMessage, {"session_id": "s", "content": "x", "mode": "loud"}),
        (ChatMessage, {"session_id": "s", "content": "x", "mode": "stream"}),
        (
            ChatMessage,
            {"session_id": "s", "content": "x", "attachments": [{"name": "a", "url": "https://x"}]},
        ),
        (ChatMessage, {"session_id": "s", "content": "x", "attachments": [{"name": "a", "url": "ftp://x"}]}),
        (
            ChatMessage,
            {"session_id": "s", "content": "x", "attachments": [{"name": "a", "url": "http://x"}] * 21},
        ),
    ],
)
def test_the_schema_of_a_body_takes_what_the_codec_takes(model: type, body: dict[str, Any]) -> None:
    schemas = Schemas()
    schema = schemas.of(model, closed=True)
    validator = OAS31Validator({**schema, "components": {"schemas": schemas.components}})
    try:
        structure(body, model)
        taken = True
    except InvalidBody:
        taken = False
    assert validator.is_valid(orjson.loads(orjson.dumps(body))) == taken


async def test_the_page_needs_no_other_host_and_shows_every_route() -> None:
    reply = await House().call("GET", "/docs", headers={})
    html = reply.raw.decode()
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert all(f'id="{route.name}"' in html for route in ROUTES)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_the_page_explains_every_code_that_an_error_may_link_to() -> None:
    house = House()
    html = (await house.call("GET", "/docs", headers={})).raw.decode()
    problem = await house.call("GET", "/api/v1/session.get/unknown", headers={"Accept": "application/problem+json"})
    assert problem.json["type"] == "/docs#ORCH_AUTH_001"
    assert 'id="ORCH_AUTH_001"' in html
