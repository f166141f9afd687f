"""A collector of OpenTelemetry on loopback: it takes OTLP over HTTP, and keeps the spans that come."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.scripted_server import Asked, reply, serve


@define
class Collector:
    """What has come so far."""

    url: str = ""
    asked: list[Asked] = field(factory=list)
    batches: list[Any] = field(factory=list)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for batch in self.batches
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        [first, *_] = self.batches[0].resource_spans
        return {pair.key: pair.value.string_value for pair in first.resource.attributes}

    async def take(self, asked: Asked, stream: trio.SocketStream) -> None:
        batch = ExportTraceServiceRequest()
        batch.ParseFromString(asked.raw)
        self.asked.append(asked)
        self.batches.append(batch)
        await reply(stream, b"", 200, "Content-Type: application/x-protobuf")


async def take_nothing(_: Asked, __: trio.SocketStream) -> None:
    """Never answer."""
    await trio.sleep_forever()


@asynccontextmanager
async def open_collector() -> AsyncIterator[Collector]:
    """Collect while the block runs."""
    collector = Collector()
    async with serve(collector.take) as collector.url:
        yield collector
