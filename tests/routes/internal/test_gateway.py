"""The internal way to Query and Embedding."""

import orjson
import pytest

from orchestrator.errors import BadGateway, BudgetExhausted, ServiceUnreachable
from tests.support.credentials import INTERNAL_KEY, METRICS_KEY, bearer, keyed
from tests.support.house import House

GENERATE = "/internal/v1/query.generate"


@pytest.mark.parametrize(
    ("path", "asked", "kind"),
    [
        ("query.generate", "generate", {"domain": "query", "action": "generated"}),
        ("query.search", "search", {"domain": "query", "action": "results"}),
        ("embedding.create", "embed", {"domain": "embedding", "action": "created"}),
    ],
)
async def test_a_request_is_passed_on_with_all_its_fields(path: str, asked: str, kind: dict[str, str]) -> None:
    house = House()
    body = {"query": "why?", "similarity_top_k": 3, "something_new": [1]}
    for sent in (body, {"data": body}):
        reply = await house.call("POST", f"/internal/v1/{path}", sent, keyed())
        assert (reply.status, reply.json["type"]) == (200, kind)
    assert house.gateway.asked == [(asked, "acme", body)] * 2


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        (bearer(), (401, "ORCH_AUTH_001", "")),
        (keyed("wrong"), (401, "ORCH_AUTH_001", "")),
        (keyed(METRICS_KEY), (403, "ORCH_AUTH_003", "")),
        ({"X-API-Key": INTERNAL_KEY}, (400, "ORCH_VAL_003", "$.headers.X-Tenant-ID")),
        (keyed(tenant="a:b"), (400, "ORCH_VAL_003", "$.headers.X-Tenant-ID")),
    ],
)
async def test_only_a_key_of_the_right_scope_opens_it(headers: dict[str, str], fault: tuple[int, str, str]) -> None:
    house = House()
    assert (await house.call("POST", GENERATE, {"query": "why?"}, headers)).fault == fault
    assert house.gateway.asked == []


async def test_a_body_for_another_tenant_is_refused() -> None:
    reply = await House().call("POST", GENERATE, {"query": "why?", "tenant_id": "globex"}, keyed())
    assert reply.fault == (403, "ORCH_AUTH_002", "$.tenant_id")
    assert (await House().call("POST", GENERATE, {"data": [1]}, keyed())).fault == (
        400,
        "ORCH_VAL_001",
        "$.data",
    )


async def test_a_stream_is_passed_through_as_it_comes() -> None:
    house = House()
    house.gateway.pieces = [b'{"a":1}\n{"b"', b":2}\n"]
    reply = await house.call("POST", GENERATE, {"query": "why?", "stream": True}, keyed())
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert reply.raw == b'{"a":1}\n{"b":2}\n'
    assert house.gateway.left == 1


async def test_a_stream_that_breaks_says_so_in_its_last_line() -> None:
    house = House()
    house.gateway.pieces = [b'{"a":1}\n', BadGateway("Query ended its stream before it was complete.")]
    reply = await house.call("POST", GENERATE, {"query": "why?", "stream": True}, keyed())
    assert orjson.loads(reply.raw.splitlines()[-1])["error"]["code"] == "ORCH_CONN_002"
    assert house.gateway.left == 1


async def test_a_stream_that_cannot_be_opened_is_an_error_with_its_own_status() -> None:
    house = House()
    house.gateway.refusal = ServiceUnreachable("Query cannot be reached.")
    headers = {**keyed(), "X-Correlation-ID": "c-9"}
    reply = await house.call("POST", GENERATE, {"query": "why?", "stream": True}, headers)
    assert reply.fault == (503, "ORCH_CONN_001", "")
    assert reply.json["correlation_id"] == "c-9"
    assert "X-Content-Type-Options" in reply.headers


async def test_a_budget_that_is_used_up_is_told_with_the_time_until_it_resets() -> None:
    house = House()
    house.gateway.refusal = BudgetExhausted("The tokens of the day are used up.", retry_after_ms=4200)
    reply = await house.call("POST", GENERATE, {"query": "why?", "stream": True}, keyed())
    assert reply.fault == (429, "ORCH_RATE_002", "")
    assert (reply.headers["Retry-After"], reply.error["retry_after_ms"]) == ("5", 4200)
