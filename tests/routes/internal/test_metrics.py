"""`/metrics`: who may look, and that what happens is counted."""

from typing import Any

import trio
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.assembly import open_process
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import RateLimited
from orchestrator.main import create_app
from orchestrator.sandbox.platform import run_sandbox
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, METRICS_KEY, SETTINGS
from tests.support.eventually import eventually
from tests.support.house import House
from tests.support.served import CREATE, Client, service
from tests.telemetry.figures import figure

METRICS = "/metrics"


async def test_only_metrics_keys_open_the_metrics() -> None:
    house = House()
    for key in (METRICS_KEY, ADMIN_KEY):
        reply = await house.call("GET", METRICS, headers={"X-API-Key": key})
        assert (reply.status, reply.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
        assert list(text_string_to_metric_families(reply.raw.decode()))
    for headers, status in (({}, 401), ({"X-API-Key": "unknown"}, 401), ({"X-API-Key": INTERNAL_KEY}, 403)):
        assert (await house.call("GET", METRICS, headers=headers)).status == status
    assert (await house.call("GET", METRICS)).status == 403


async def test_the_settings_may_open_the_metrics_to_all() -> None:
    house = House(settings=evolve(SETTINGS, metrics_public=True))
    assert (await house.call("GET", METRICS, headers={})).status == 200
    openmetrics = await house.call("GET", METRICS, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert openmetrics.raw.endswith(b"# EOF\n")


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    house = House()
    session_id = await house.session()
    for _ in range(2):
        await house.call("GET", f"/api/v1/session.get/{session_id}")
    await house.call("GET", "/api/v1/session.get/unknown")
    await house.call("GET", "/no/such/route")
    await house.call("DELETE", CREATE)
    route = "/api/v1/session.get/<session_id>"
    assert figure(house.metrics, "http_requests_total", method="GET", route=route, status="200") == 2
    assert figure(house.metrics, "http_requests_total", method="GET", route=route, status="404") == 1
    assert figure(house.metrics, "http_requests_total", method="GET", route="unmatched", status="404") == 1
    assert figure(house.metrics, "http_requests_total", method="DELETE", route="unmatched", status="405") == 1
    assert figure(house.metrics, "http_request_duration_seconds_count", route=route) == 3


async def test_refusals_because_of_a_limit_are_counted_by_code() -> None:
    house = House()
    house.limiter.error = RateLimited("Too many requests.")
    await house.call("GET", "/api/v1/session.list")
    assert figure(house.metrics, "rate_limited_total", door="http", code="ORCH_RATE_001") == 1


async def test_a_turn_is_counted_in_the_metrics(redis_url: str) -> None:
    async with run_sandbox() as sandbox:
        urls: Any = {name: ServiceSettings(url=url) for name, url in sandbox.urls.items()}
        services = urls
        async with service(redis_url, consuming=True, services=services) as client:
            assert await turn(client, "echo") == 200
            sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", "execute", status=400))
            assert await turn(client, "echo") == 502
            scraped = await client.call("GET", METRICS, headers={"X-API-Key": METRICS_KEY})
    for status in ("completed", "failed"):
        assert figure(scraped.raw, "messages_processed_total", tenant="acme", status=status) == 1
    assert figure(scraped.raw, "sessions_created_total", tenant="acme") == 2
    assert figure(scraped.raw, "first_token_seconds_count") == 1
    assert figure(scraped.raw, "message_processing_seconds_count") == 2
    assert figure(scraped.raw, "websocket_connections_active") == 0
    failed = {"service": "agent_execution", "operation": "execute", "code": "ORCH_CONN_002"}
    calls = figure(scraped.raw, "service_call_total", service="agent_execution", operation="execute")
    assert (calls, figure(scraped.raw, "service_call_failures_total", **failed)) == (2, 1)


async def turn(client: Client, agent_id: str) -> int:
    session_id = (await client.call("POST", CREATE, {"agent_id": agent_id})).data["session_id"]
    return (await client.say(session_id, mode="wait", timeout_ms=8000)).status


async def test_the_queues_depth_is_seen_by_the_sweep(redis_url: str) -> None:
    async with open_process(evolve(SETTINGS, redis_url=redis_url)) as process:
        client = Client(process, create_app(process.services))
        async with trio.open_nursery() as nursery:
            await nursery.start(process.services.event_hub.run)
            await client.say(await client.session())
            nursery.cancel_scope.cancel()
        await process.stores.redis.hset(process.stores.keys.tenant_config("acme"), "state", "paused")
        async with trio.open_nursery() as nursery:
            await nursery.start(process.run)
            await eventually(
                "the depth is seen",
                lambda: figure(process.services.metrics, "queue_depth", tenant="acme"),
                lambda depth: depth == 1,
            )
            assert (figure(process.services.metrics, "queue_lag_seconds", tenant="acme") or 0) > 0
            assert figure(process.services.metrics, "sessions_active", tenant="acme") == 1
            nursery.cancel_scope.cancel()
