"""Who is refused before the body is read is told so by the words that the body asks for, and does not wait for it."""

from typing import Any

import orjson
import pytest
import trio

from orchestrator.errors import RateLimited
from orchestrator.routes.http.frontends import LARGE_BYTES, OVERHEAR_SECONDS
from tests.routes.http.test_real_server import CREATE, connected, read_answer, serving
from tests.support.credentials import bearer
from tests.support.house import House, Reply

ENVELOPE: dict[str, Any] = {"source_service": "frontend", "data": {"agent_id": "docs-guide"}}
STRANGER = {"Authorization": "Bearer no.such.token"}


async def call(house: House, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """Send a request as clients do, with the length of its body."""
    length = {"Content-Length": str(len(orjson.dumps(body)))}
    return await house.call(method, path, body, {**(bearer() if headers is None else headers), **length})


async def test_a_frontend_without_credentials_is_told_by_the_codes_of_its_guide() -> None:
    reply = await call(House(), "POST", CREATE, {**ENVELOPE, "correlation_id": "mine"}, STRANGER)
    assert (reply.status, reply.json["data"]["code"]) == (401, "SYSTEM.AUTH_FAILED")
    assert reply.json["correlation_id"] == reply.json["data"]["transaction_id"] == "mine"


async def test_a_frontend_that_asks_too_often_is_told_so() -> None:
    house = House()
    house.limiter.error = RateLimited("Too many requests.", retry_after_ms=2100)
    told = await call(house, "PUT", "/api/v1/session.update/s1", {**ENVELOPE, "data": {"metadata": {}}})
    assert (told.status, told.json["data"]["code"]) == (429, "SYSTEM.RATE_LIMITED")
    assert (await call(house, "PUT", "/api/v1/session.update/s1", {"metadata": {}})).json["data"] is None


@pytest.mark.parametrize(
    "body",
    [
        ENVELOPE["data"],
        {"source_service": "frontend"},
        {**ENVELOPE, "source_service": "another"},
        [ENVELOPE],
        {**ENVELOPE, "data": {"agent_id": "x" * LARGE_BYTES}},
    ],
)
async def test_all_others_are_told_by_the_error_alone(body: Any) -> None:
    reply = await call(House(), "POST", CREATE, body, STRANGER)
    assert (reply.status, reply.json["data"], reply.json["error"]["code"]) == (401, None, "ORCH_AUTH_001")


async def test_a_body_of_unknown_length_is_left_alone() -> None:
    reply = await House().call("POST", CREATE, ENVELOPE, STRANGER)
    assert (reply.status, reply.json["data"]) == (401, None)


async def test_what_is_no_json_is_overheard_as_nothing() -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(_head("Content-Length: 3") + b"{[}")
        top, body = await read_answer(stream)
        assert (top[9:12], orjson.loads(body)["data"]) == (b"401", None)


@pytest.mark.parametrize(("length", "least"), [("Content-Length: 50", OVERHEAR_SECONDS), ("Content-Length: 99999", 0)])
async def test_a_body_that_does_not_come_is_not_waited_for_long(length: str, least: float) -> None:
    async with serving(House()) as url, connected(url) as stream:
        began = trio.current_time()
        await stream.send_all(_head(length))
        with trio.fail_after(OVERHEAR_SECONDS + 5):
            top, body = await read_answer(stream)
        assert (top[9:12], orjson.loads(body)["data"]) == (b"401", None)
        assert trio.current_time() - began >= least


def _head(length: str) -> bytes:
    lines = [f"POST {CREATE} HTTP/1.1", "Host: x", "Content-Type: application/json", length]
    lines += [f"{name}: {value}" for name, value in STRANGER.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
