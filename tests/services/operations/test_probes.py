"""How the services downstream are, as the health route tells it."""

import pytest
import trio

from orchestrator.clients.opening import open_clients
from orchestrator.clients.transport.http_transport import HttpTransport
from orchestrator.config.settings import ServiceSettings
from orchestrator.services.operations.probes import FRESH_SECONDS, Probe, probes_of
from tests.support.eventually import PATIENCE
from tests.support.scripted_server import Asked, Handler, reply, serve


def answering(status: int, body: object = None) -> Handler:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, body, status)

    return handler


async def hang(_: Asked, __: trio.SocketStream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        (answering(200, {"status": "healthy"}), None),
        (answering(200, "whatever"), None),
        (answering(500, {}), "Query failed with 500, and the call is not safe to repeat."),
        (answering(503, {}), "Query failed with 503."),
        (hang, "Query did not answer in time."),
    ],
)
async def test_a_probe_says_what_is_wrong_with_a_service(handler: Handler, found: str | None) -> None:
    async with serve(handler) as url:
        transport = HttpTransport("query", ServiceSettings(url=url))
        with trio.fail_after(PATIENCE):
            said = await Probe(transport)()
        await transport.aclose()
    assert (said is None) == (found is None)
    assert said is None or said.startswith("Query")


async def test_a_probe_has_no_tenant_and_its_outcome_is_shared_for_a_while() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {})

    async with serve(handler) as url:
        transport = HttpTransport("query", ServiceSettings(url=f"{url}/query"))
        probe = Probe(transport)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(probe)
        assert [(asked.method, asked.target) for asked in seen] == [("GET", "/query/health")]
        assert "x-tenant-id" not in seen[0].headers
        probe._fresh_until -= FRESH_SECONDS
        await probe()
        assert len(seen) == 2
        await transport.aclose()


async def test_only_services_that_are_set_up_are_asked() -> None:
    async with open_clients({"query": ServiceSettings(url="http://127.0.0.1:1")}) as clients:
        probes = probes_of(clients)
        assert list(probes) == ["query"]
        assert "no connection" in (await probes["query"]() or "")
