"""The document of the sockets is whole, and true for every frame."""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import orjson
import pytest
import trio
from jsonschema import Draft7Validator  # type: ignore[import-untyped] # it has no types

from orchestrator.config.settings import ServiceSettings
from orchestrator.models.events.events import BATCH_EVENTS, NOTIFICATION_EVENTS, SERVER_EVENTS
from orchestrator.sandbox.platform import run_sandbox
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.websocket import handlers
from orchestrator.websocket.asyncapi import build_document
from orchestrator.websocket.dialects.client_frames import FORMS
from orchestrator.websocket.dialects.domain_action import ERROR, FRAMES
from orchestrator.websocket.handlers import HANDLERS
from orchestrator.websocket.task_updates import ANSWER, UPDATES
from tests.store.desk import open_desk
from tests.support.credentials import INTERNAL_KEY, bearer
from tests.support.documented import documented, name_of, validator
from tests.support.http import loopback_client
from tests.support.served import CREATE, Client, service
from tests.websocket.stage import Stage, open_stage

KINDS = {"server": SERVER_EVENTS, "client": HANDLERS}
REQUIRED: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {"required": ["title", "version"]},
        "servers": {"additionalProperties": {"required": ["host", "protocol"]}},
        "channels": {"additionalProperties": {"required": ["address", "messages", "parameters", "bindings"]}},
        "operations": {
            "additionalProperties": {
                "required": ["action", "channel", "messages", "security"],
                "properties": {"action": {"enum": ["send", "receive"]}, "messages": {"minItems": 1}},
            }
        },
        "components": {
            "properties": {
                "messages": {"additionalProperties": {"required": ["name", "payload", "summary", "contentType"]}},
                "schemas": {"additionalProperties": {"$ref": "http://json-schema.org/draft-07/schema#"}},
                "securitySchemes": {"additionalProperties": {"required": ["type"]}},
            }
        },
    },
}
"""What AsyncAPI 3.0.0 asks of the parts that this document has."""


def document(public_url: str = "") -> Any:
    return orjson.loads(orjson.dumps(build_document(public_url)))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_the_document_has_what_asyncapi_asks_for_and_leads_nowhere_outside() -> None:
    for url in ("", "https://orchestrator.example/base"):
        whole = document(url)
        Draft7Validator(REQUIRED).validate(whole)
        assert {*references(whole)}
        for reference in references(whole):
            place = whole
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]
            assert place


def test_every_frame_of_the_code_is_in_the_document_and_conversely() -> None:
    whole = document()
    wanted = {f"{side}.{name}" for side, names in KINDS.items() for name in names}
    of_batches = {f"server.{name}" for name in BATCH_EVENTS}
    of_notifications = {f"server.{name}" for name in NOTIFICATION_EVENTS}
    of_others = of_batches | of_notifications | {f"server.{ANSWER}"}
    of_services = {f"client.{name}" for name in UPDATES}
    of_forms = {f"documented.{name}" for name in FORMS}
    of_dialect = {f"domain_action.{name}" for name in (*(frame.name for frame in FRAMES.values()), ERROR)}
    assert set(whole["channels"]["chat"]["messages"]) == wanted | of_dialect | of_forms
    assert set(whole["components"]["messages"]) == wanted | of_others | of_services | of_dialect | of_forms
    assert of_services | {f"server.{ANSWER}", "server.system.error"} < set(
        whole["channels"]["task_updates"]["messages"]
    )
    assert of_notifications < set(whole["channels"]["notifications"]["messages"])
    assert of_batches < set(whole["channels"]["batch"]["messages"])
    told = {"send": set[str](), "receive": set[str]()}
    for operation in whole["operations"].values():
        told[operation["action"]] |= {one["$ref"].rpartition("/")[2] for one in operation["messages"]}
    assert told["send"] == {f"server.{name}" for name in SERVER_EVENTS} | of_others | of_dialect
    assert told["receive"] == {f"client.{name}" for name in HANDLERS} | of_services | of_forms
    for name, handler in HANDLERS.items():
        assert (handler.permission or "nothing") in whole["operations"][name]["description"]


def test_a_server_is_named_where_clients_see_another_url_than_the_documents() -> None:
    assert "servers" not in document()
    server = document("https://orchestrator.example:8443/base/")["servers"]["service"]
    assert server == {"host": "orchestrator.example:8443", "protocol": "wss", "pathname": "/base"}
    assert document("http://localhost:8000")["servers"]["service"] == {"host": "localhost:8000", "protocol": "ws"}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("chat.message", {"data": {"content": "hi"}}),
        ("chat.message", {"data": {"content": ""}}),
        ("chat.message", {"data": {"content": "hi", "if_busy": "maybe"}}),
        ("chat.message", {"data": {"content": "hi", "loud": True}}),
        ("chat.message", {"data": {"content": "hi"}, "message_id": "m1", "correlation_id": "c1"}),
        ("chat.message", {"data": {"content": "hi"}, "message_id": "a:b"}),
        ("chat.message", {"data": {"content": "hi"}, "nonsense": 1}),
        ("chat.cancel", {"data": {}}),
        ("chat.cancel", {"data": {"message_id": "m1"}}),
        ("tool.result", {"data": {"tool_call_id": "t1", "result": {"status": "success", "data": 1}}}),
        ("tool.result", {"data": {"tool_call_id": "t1", "result": {"status": "perhaps"}}}),
        ("session.sync", {"data": {"last_offset": -1, "epoch": "e1"}}),
        ("session.sync", {"data": {"last_offset": 0, "epoch": "e1"}}),
        ("system.auth", {"data": {"token": 1}}),
        ("system.ping", {"data": {}}),
        ("system.ping", {}),
        ("system.nonsense", {"data": {}}),
    ],
)
def test_the_schema_of_a_frame_takes_what_the_service_takes(name: str, fields: dict[str, Any]) -> None:
    domain, _, action = name.partition(".")
    frame = {"type": {"domain": domain, "action": action}, **fields}
    try:
        handlers._read(orjson.dumps(frame).decode())
        taken = True
    except handlers._BadFrame:
        taken = False
    assert (name in HANDLERS and validator("client", name).is_valid(frame)) == taken


@pytest.mark.parametrize(("name", "table"), [(name, table) for table in (HANDLERS, UPDATES) for name in table])
def test_the_example_of_a_frame_is_as_documented_and_taken(
    name: str, table: Mapping[str, handlers.FrameHandler]
) -> None:
    [example] = document()["components"]["messages"][f"client.{name}"]["examples"]
    validator("client", name).validate(example["payload"])
    envelope, read, data = handlers._read(orjson.dumps(example["payload"]).decode(), table)
    assert (read, envelope.message_id) == (name, "frame-1")
    assert isinstance(data, table[name].model)


def test_an_operation_uses_messages_of_its_channel_and_a_channel_names_its_parameters() -> None:
    whole = document()
    for operation in whole["operations"].values():
        channel = operation["channel"]["$ref"]
        assert channel.removeprefix("#/channels/") in whole["channels"]
        assert all(one["$ref"].startswith(f"{channel}/messages/") for one in operation["messages"])
    for channel in whole["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])


async def test_the_frames_of_a_socket_are_as_the_document_says(stage: Stage) -> None:
    await stage.log.append("chat.stream_reset", SERVER_EVENTS["chat.stream_reset"]("m1", 2))
    async with stage.client("/ws/v1/chat/s1?last_offset=900&epoch=e0") as client, trio.open_nursery() as nursery:
        await client.say("system.ping", {"client_timestamp": 5})
        await client.say("chat.message", {"content": "hi"})
        await client.say("chat.cancel", {"message_id": "unknown"})
        await stage.log.chunk(1)
        seen = set[str]()
        awaited = {"session.state_update", "session.snapshot", "system.pong", "chat.status_update", "system.error"}
        while not awaited | {"chat.stream"} <= seen:
            seen.add(checked(await client.frame()))
        nursery.start_soon(stage.manager.close_all)
        while "system.reconnect" not in seen:
            seen.add(checked(await client.frame()))


async def frames_of_a_turn(client: Client, agent_id: str) -> set[str]:
    session_id = (await client.call("POST", CREATE, {"agent_id": agent_id})).data["session_id"]
    streamed = await client.say(session_id, mode="stream", timeout_ms=8000)
    return {checked(orjson.loads(frame)) for frame in re.findall(r"^data: (.*)$", streamed.raw.decode(), re.MULTILINE)}


async def test_the_frames_of_whole_turns_are_as_the_document_says(redis_url: str) -> None:
    async with run_sandbox(internal_api_key=INTERNAL_KEY) as sandbox:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        async with service(redis_url, consuming=True, services=urls) as client:
            answered = await frames_of_a_turn(client, "echo")
            assert {"chat.status_update", "chat.stream", "chat.completed"} <= answered
            sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", "execute", status=400))
            assert {"chat.status_update", "system.error"} <= await frames_of_a_turn(client, "echo")


@pytest.mark.parametrize(
    ("name", "data", "taken"),
    [
        ("task.progress", {"task_id": "t1", "callback_token": "t", "progress": 0.5}, True),
        ("task.progress", {"task_id": "t1", "progress": 2}, False),
        ("task.complete", {"task_id": "t1", "result": None}, True),
        ("task.complete", {"task_id": "t1"}, False),
        ("task.fail", {"task_id": "t1", "error": {"code": "X", "message": "No."}}, True),
        ("task.fail", {"task_id": "t1", "error": {"code": "X"}}, False),
        ("task.fail", {"task_id": "t1", "error": {"code": "X", "message": "No."}, "nonsense": 1}, False),
    ],
)
async def test_the_socket_of_services_takes_and_answers_as_the_document_says(
    redis_url: str, name: str, data: dict[str, Any], taken: bool
) -> None:
    domain, _, action = name.partition(".")
    assert validator("client", name).is_valid({"type": {"domain": domain, "action": action}, "data": data}) == taken
    keys = (f"engine:internal:{sha256(INTERNAL_KEY.encode()).hexdigest()}",)
    headers = [("X-API-Key", INTERNAL_KEY), ("X-Tenant-ID", "acme")]
    async with open_desk(redis_url) as desk, open_stage(redis_url, api_keys=keys) as stage:
        claim = await desk.begin()
        await desk.register(claim)
        await desk.park(claim)
        named = {**data, "task_id": claim.task_id, "callback_token": "t"}
        async with stage.client("/internal/v1/ws/task_updates", headers=headers, anonymous=True) as client:
            await client.say(name, named)
            assert checked(await client.frame()) == (ANSWER if taken else "system.error")


async def test_the_document_is_served_and_the_page_leads_to_it(redis_url: str) -> None:
    async with service(redis_url) as client:
        served = await client.call("GET", "/asyncapi.json", headers={})
        assert (served.status, served.json) == (200, document())
        page = await client.call("GET", "/docs", headers=bearer())
        assert b'href="/asyncapi.json"' in page.raw


async def test_the_document_needs_no_credentials(stage: Stage) -> None:
    async with loopback_client(base_url=f"http://{stage.host}:{stage.port}") as client:
        assert (await client.get("/asyncapi.json")).json() == document()


def checked(frame: Any) -> str:
    """Return the name of a frame that the document describes."""
    return name_of(documented(frame))
