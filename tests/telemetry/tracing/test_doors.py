"""Spans of requests: what they are called, what they say, and when they have failed."""

from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from orchestrator.errors import StoreUnavailable
from orchestrator.telemetry.tracing.doors import begin_request, end_request
from orchestrator.telemetry.tracing.spans import current_ids
from tests.support.served import CREATE, service
from tests.support.spans import Spans, kept_spans

PARENT = "00-" + "a" * 32 + "-" + "b" * 16


async def asked(
    redis_url: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Spans:
    async with service(redis_url) as client:
        with kept_spans() as spans:
            await client.call(method, path, body, headers)
    return spans


async def test_a_request_is_named_by_its_route_and_refused_without_having_failed(redis_url: str) -> None:
    spans = await asked(redis_url, "GET", "/api/v1/session.get/nowhere")
    span = spans.one("GET /api/v1/session.get/<session_id>")
    said = dict(span.attributes or {})
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert said["http.request.method"] == "GET"
    assert said["http.route"] == "/api/v1/session.get/<session_id>"
    assert said["http.response.status_code"] == 404
    assert said["url.path"] == "/api/v1/session.get/nowhere"
    assert said["nooble.error_code"] == "ORCH_NOTF_001"
    assert "error.type" not in said
    assert "secret" not in spans.said()


async def test_a_request_whose_credentials_are_refused_has_a_span_without_a_tenant(redis_url: str) -> None:
    spans = await asked(redis_url, "POST", CREATE, {}, {})
    said = dict(spans.one(f"POST {CREATE}").attributes or {})
    assert said["http.response.status_code"] == 401
    assert "nooble.tenant_id" not in said


async def test_what_no_route_takes_is_named_by_its_method_alone(redis_url: str) -> None:
    spans = await asked(redis_url, "GET", "/api/v1/nowhere/at/all")
    assert "http.route" not in dict(spans.one("GET").attributes or {})


async def test_a_request_fails_where_the_service_does(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(redis_url) as client:

        async def away(*_: object, **__: object) -> None:
            raise StoreUnavailable("Redis is away.")

        monkeypatch.setattr(type(client.process.services.sessions), "create", away)
        with kept_spans() as spans:
            await client.call("POST", CREATE, {"agent_id": "echo"})
    span = spans.one(f"POST {CREATE}")
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == StoreUnavailable.code
    assert span.events == ()
    assert span.status.description is None


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_what_machines_ask_for_again_and_again_has_no_span(redis_url: str, path: str) -> None:
    assert (await asked(redis_url, "GET", path)).all() == []


async def test_a_trace_context_that_is_none_begins_a_trace(redis_url: str) -> None:
    async with service(redis_url) as client:
        with kept_spans() as spans:
            for header in ("", "00-0-0-01", f"ff-{'a' * 32}-{'b' * 16}-01", f"{PARENT}-01-more"):
                await client.call("GET", "/api/v1/nowhere", headers={"traceparent": header})
    assert [span.parent for span in spans.all()] == [None] * 4
    assert len({span.context.trace_id for span in spans.all()}) == 4


def test_an_odd_method_has_the_name_that_stands_for_all_of_them() -> None:
    with kept_spans() as spans:
        span = begin_request("BREW" * 1000, "https", "/x" * 1000, "[::1]:8443", None)
        end_request(
            span, method="BREW", route=None, status=405, error_code=None, tenant_id=None, session_id=None,
            correlation_id="c", request_id="r",
        )  # fmt: skip
    said = dict(spans.one("_OTHER").attributes or {})
    assert said["http.request.method_original"] == ("BREW" * 1000)[:512]
    assert said["url.path"] == ("/x" * 1000)[:512]
    assert (said["server.address"], said["server.port"]) == ("::1", 8443)


async def test_nothing_of_a_request_is_current_after_it(redis_url: str) -> None:
    async with service(redis_url) as client:
        with kept_spans():
            await client.call("GET", "/api/v1/nowhere")
            assert current_ids() is None


async def test_without_tracing_there_are_no_spans(redis_url: str) -> None:
    async with service(redis_url) as client:
        await client.call("GET", "/api/v1/nowhere", headers={"traceparent": f"{PARENT}-01"})
        assert current_ids() is None
