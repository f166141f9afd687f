"""A service that fails, as operators and users see it."""

from typing import Any

import pytest
import trio
from attrs import evolve

from orchestrator.domain.tasks.wait_reasons import explain
from orchestrator.models.operations.breakers import BreakerState
from orchestrator.models.operations.system_events import SystemEvent
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.timeline import WaitFacts
from orchestrator.services.operations.system_events import WAITING, SystemEvents
from orchestrator.store.keys import Keys
from orchestrator.store.operations.system_events import SystemEventStore
from orchestrator.store.redis.connection import open_redis
from tests.support.calls import services_at
from tests.support.credentials import ADMIN_KEY, keyed
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, reply, serve
from tests.support.served import Client, service

EMBED = "/internal/v1/embedding.create"
LOAD = "/internal/v1/orchestrator.load"
ADMIN = {"X-API-Key": ADMIN_KEY}


async def load_of(client: Client) -> Any:
    return (await client.call("GET", LOAD, headers=ADMIN)).data


async def load_with_notices(client: Client, count: int) -> Any:
    """Return the load as soon as it has so many notices."""
    return await eventually(
        f"the load has {count} notices", lambda: load_of(client), lambda load: len(load["notices"]) >= count
    )


async def test_a_service_that_is_left_alone_shows_in_load_nodes_and_notices(redis_url: str) -> None:
    asked = 0

    async def broken(_: Asked, stream: trio.SocketStream) -> None:
        nonlocal asked
        asked += 1
        await reply(stream, {}, 503)

    async with serve(broken) as url:
        services = services_at(url)
        critical = {**services, "embedding": evolve(services["embedding"], criticality="critical")}
        async with service(redis_url, consuming=True, services=critical, node_timeout=0.6) as client:
            codes = []
            async with trio.open_nursery() as nursery:

                async def embed(text: str) -> None:
                    codes.append((await client.call("POST", EMBED, {"texts": [text]}, keyed())).fault[1])

                for number in range(12):
                    nursery.start_soon(embed, str(number))
            assert set(codes) <= {"ORCH_CONN_002", "ORCH_CONN_003"}
            load = await eventually("a breaker shows", lambda: load_of(client), lambda load: load["breakers"])
            assert load["breakers"] == {"embedding": 1}
            assert load["nodes"][0]["load"]["breakers"] == {"embedding": "open"}
            load = await load_with_notices(client, 2)
            names = [notice["name"] for notice in load["notices"]]
            assert names == ["breaker.open", "node.joined"]
            assert load["notices"][0]["about"] == {"service": "embedding", "seconds": "15"}
            before = asked
            refused = await client.call("POST", EMBED, {"texts": ["b"]}, keyed())
            assert (refused.status, refused.fault[1]) == (503, "ORCH_CONN_003")
            assert asked == before


async def test_what_is_done_to_a_tenant_is_told(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        await client.session()
        await client.call("POST", "/internal/v1/tenant.pause/acme", {}, ADMIN)
        load = await load_with_notices(client, 2)
        assert load["notices"][0]["name"] == "tenant.paused"
        assert load["notices"][0]["about"] == {"tenant_id": "acme"}


async def test_system_events_are_stored_in_order_and_the_last_one_says_goodbye(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        board = SystemEvents(SystemEventStore(redis, Keys()), "n1")
        async with trio.open_nursery() as nursery:
            await nursery.start(board.run)
            board.breaker_changed("query", BreakerState.OPEN, 30.0)
            await eventually("two events are there", lambda: board.last(10), lambda found: len(found) == 2)
            nursery.cancel_scope.cancel()
        found = await board.last(10)
        assert [notice.name for notice in found] == ["node.left", "breaker.open", "node.joined"]
        assert found[1] == SystemEvent("breaker.open", "n1", found[1].at, {"service": "query", "seconds": "30"})
        await redis.xadd(Keys().notices, {"notice": b"of another version"})
        assert len(await board.last(10)) == 3


async def test_telling_a_system_event_never_waits(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        board = SystemEvents(SystemEventStore(redis, Keys()), "n1")
        for number in range(WAITING + 10):
            board.tell("tenant.paused", number=str(number))
        async with trio.open_nursery() as nursery:
            await nursery.start(board.run)
            await eventually("all are there", lambda: board.last(WAITING), lambda found: len(found) == WAITING)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("left_alone", "words"), [((), ""), (("query",), "fail too often: query")])
def test_a_task_that_waits_says_which_services_are_left_alone(left_alone: tuple[str, ...], words: str) -> None:
    facts = WaitFacts("t1", TaskStatus.RETRYING, 0, due_ms=1000, left_alone=left_alone)
    assert words in explain(facts).says
