"""Spans on their way to a collector, and collectors that do not take them."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from attrs import define, field
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from structlog.testing import capture_logs

from orchestrator.config.otel import OtelSettings
from orchestrator.telemetry.tracing.export import sampler_of
from orchestrator.telemetry.tracing.opening import FLUSH_SECONDS, open_tracing
from orchestrator.telemetry.tracing.spans import SpanKind, begin, is_recording
from tests.support.collector import open_collector, take_nothing
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, reply, serve


@define
class Sent:
    """How many spans were counted, by outcome."""

    counts: dict[str, int] = field(factory=dict)

    def count(self, outcome: str, number: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + number


def make(count: int, name: str = "work") -> None:
    for _ in range(count):
        begin(name, SpanKind.INTERNAL, {"nooble.step": "a"}, None).end()


def exporting() -> list[str]:
    """Return the names of the SDK's threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("Otel")]


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def test_spans_are_sent_with_what_is_told_of_the_process_and_the_last_ones_at_the_end() -> None:
    sent = Sent()
    async with open_collector() as collector:
        otel = OtelSettings(
            exporter_otlp_endpoint=f"{collector.url}/",
            exporter_otlp_headers=("authorization=Bearer%20abc",),
            resource_attributes=("deployment.environment.name=staging", "service.version=9"),
            service_name="front",
            bsp_schedule_delay=60_000,
        )
        async with open_tracing(otel, sent.count):
            make(3)
            assert collector.spans == []
        assert [span.name for span in collector.spans] == ["work"] * 3
    [asked] = collector.asked
    assert (asked.method, asked.path) == ("POST", "/v1/traces")
    assert asked.headers["authorization"] == "Bearer abc"
    assert asked.headers["content-type"] == "application/x-protobuf"
    resource = collector.resource
    assert (resource["service.name"], resource["service.version"]) == ("front", "9")
    assert resource["deployment.environment.name"] == "staging"
    assert sent.counts == {"sent": 3}
    assert not is_recording()


async def test_without_a_name_the_process_has_that_of_the_service() -> None:
    async with open_collector() as collector:
        otel = OtelSettings(exporter_otlp_endpoint=collector.url)
        async with open_tracing(otel, Sent().count):
            make(1)
    assert collector.resource["service.name"] == "agent-orchestrator"


async def test_spans_are_sent_while_the_process_works() -> None:
    async with open_collector() as collector:
        otel = OtelSettings(exporter_otlp_endpoint=collector.url, bsp_schedule_delay=10)
        async with open_tracing(otel, Sent().count):
            make(1)
            await eventually("it has come", lambda: collector.spans)


async def test_where_nothing_is_traced_nothing_is_started() -> None:
    async with open_tracing(None, Sent().count):
        assert not is_recording()


async def test_a_collector_that_hangs_holds_up_neither_work_nor_the_end(log: list[Any]) -> None:
    async with serve(take_nothing) as url:
        otel = OtelSettings(
            exporter_otlp_endpoint=url, bsp_schedule_delay=10, bsp_max_queue_size=8, bsp_max_export_batch_size=4
        )
        with trio.fail_after(30):
            async with open_tracing(otel, Sent().count):
                for _ in range(10):
                    make(4)
                    await trio.lowlevel.checkpoint()
                began = trio.current_time()
        assert trio.current_time() - began < FLUSH_SECONDS + 3
    dropped = [line for line in log if line["event"] == "tracing.trouble" and "dropping" in line["reason"].lower()]
    assert len(dropped) == 1
    await eventually("its thread tries no more", lambda: not exporting())


async def test_a_collector_that_is_away_is_told_of_in_the_log_without_what_is_secret(
    log: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    sent = Sent()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        otel = OtelSettings(
            exporter_otlp_endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}",
            exporter_otlp_headers=("authorization=a-secret",),
            exporter_otlp_timeout=100,
            bsp_schedule_delay=10,
        )
        async with open_tracing(otel, sent.count):
            make(2)
            await eventually("it has failed", lambda: sent.counts.get("failed"))
            make(2)
            await eventually("it has failed again", lambda: sent.counts["failed"] == 4)
    troubles = [line for line in log if line["event"] == "tracing.trouble"]
    assert troubles
    assert len(troubles) == len({line["reason"] for line in troubles})
    assert "a-secret" not in str(log)
    assert capfd.readouterr().err == ""


async def test_what_the_collector_refuses_is_counted_as_failed(log: list[Any]) -> None:
    async def refuse(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {}, 400)

    sent = Sent()
    async with serve(refuse) as url, open_tracing(OtelSettings(exporter_otlp_endpoint=url), sent.count):
        make(2)
    assert sent.counts == {"failed": 2}
    assert [line["event"] for line in log] == ["tracing.trouble"]


@pytest.mark.parametrize("name", ["always_on", "always_off", "parentbased_always_on", "parentbased_always_off"])
def test_each_sampler_has_the_name_that_opentelemetry_gives_it(name: str) -> None:
    sampler = sampler_of(OtelSettings(traces_sampler=name))
    assert isinstance(sampler, ParentBased) == name.startswith("parentbased_")


def test_a_share_of_the_traces_is_kept() -> None:
    sampler = sampler_of(OtelSettings(traces_sampler="traceidratio", traces_sampler_arg=0.25))
    assert isinstance(sampler, TraceIdRatioBased)
    assert sampler.rate == 0.25
