"""The life of the clients: opened with the process, closed with it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio

from orchestrator.clients.registry import SERVICES, Clients, settings_of
from orchestrator.clients.transport.http_transport import HttpTransport
from orchestrator.clients.transport.queue_transport import QueueTransport, RequestQueues
from orchestrator.clients.transport.transport import Transport
from orchestrator.config.settings import ServiceSettings


@asynccontextmanager
async def open_clients(
    chosen: Mapping[str, ServiceSettings], queues: RequestQueues | None = None
) -> AsyncIterator[Clients]:
    """Open a client for each service; connections are made at the first call and closed at the end of the block.

    A service without a URL is allowed: each call to it raises ServiceUnreachable.

    Args:
        chosen: settings by service; one that is missing has the defaults of its record.
        queues: sends requests to services whose transport is `queue`.
    """
    over_http: list[HttpTransport] = []

    def transport(name: str) -> Transport:
        service = settings_of(name, chosen)
        if service.transport == "queue" and queues is not None:
            return QueueTransport(name, service, queues)
        over_http.append(HttpTransport(name, service))
        return over_http[-1]

    try:
        yield Clients(**{record.name: record.client(transport(record.name)) for record in SERVICES.values()})
    finally:
        with trio.CancelScope(shield=True):
            for opened in over_http:
                await opened.aclose()
