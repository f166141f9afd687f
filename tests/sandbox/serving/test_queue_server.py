"""The sandbox behind its queues: real requests, faults, repeated keys, and abandoned requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from attrs import evolve, frozen

from orchestrator.clients.opening import open_clients
from orchestrator.clients.registry import OPERATIONS, Clients
from orchestrator.clients.transport.responses import Lines
from orchestrator.errors import BadGateway, CallTimeout, InvalidAnswer, NotFound, OrchestratorError
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.downstream.replies import RedisRequestQueues
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.calls import call_context, services_at
from tests.support.eventually import eventually

CREATE: dict[str, Any] = {"conversation_id": "c1", "user_id": "ann", "agent_id": "echo"}


@frozen
class House:
    """The sandbox, and clients that ask it through queues."""

    redis: Redis
    sandbox: Sandbox
    clients: Clients
    desk: RedisRequestQueues

    async def ask(self, service: str, name: str, seconds: float = 10.0, key: str | None = None, **more: Any) -> Any:
        """Ask for an operation, and return the fields of the answer."""
        transport = self.clients.transport(service)
        return (await transport.call(call_context(seconds, key), OPERATIONS[service, name], more)).fields

    async def stream(self, service: str, name: str, **more: Any) -> list[dict[str, Any]]:
        """Ask for a stream, and return its lines."""
        found: list[dict[str, Any]] = []
        transport = self.clients.transport(service)
        async with transport.stream(call_context(), OPERATIONS[service, name], {**more, "stream": True}) as pieces:
            lines = Lines(pieces)
            while (batch := await lines.receive()) is not None:
                found += [line.fields for line in batch]
        return found

    async def waiting(self, service: str) -> int:
        """Return how many requests are in a service's queue."""
        return int(await self.redis.xlen(f"{service}:tasks:acme"))


@asynccontextmanager
async def house(redis_url: str, timeout: float = 10.0) -> AsyncIterator[House]:
    settings = services_at("", transport="queue", timeout=timeout)
    async with (
        run_sandbox(redis_url=redis_url) as sandbox,
        open_redis(redis_url) as redis,
        trio.open_nursery() as nursery,
    ):
        desk = RedisRequestQueues(redis, Keys(), "n1")
        await nursery.start(desk.run)
        async with open_clients(settings, desk) as clients:
            yield House(redis, sandbox, clients, desk)
        nursery.cancel_scope.cancel()


async def failure(here: House, fault: InjectedFault, *, streaming: bool = False) -> OrchestratorError:
    here.sandbox.faults.add(fault)
    try:
        if streaming:
            await here.stream("agent_execution", "execute", agent_id="echo", query="one two three four five")
        else:
            await here.ask("tool_registry", "list")
    except ExceptionGroup as group:
        error = group.exceptions[0]
    except OrchestratorError as caught:
        error = caught
    assert isinstance(error, OrchestratorError)
    return error


async def test_all_services_answer_through_their_queues(redis_url: str) -> None:
    async with house(redis_url) as here:
        assert (await here.ask("conversation", "create", **CREATE))["payload"]["conversation_id"] == "c1"
        assert (await here.ask("agent_management", "get", agent_id="echo"))["payload"]["agent_id"] == "echo"
        tool = await here.ask("tool_registry", "execute", tool_id="calculator", parameters={"expression": "6*7"})
        assert tool["payload"]["result"] == 42
        assert (await here.ask("workflow_engine", "definitions"))["payload"]["definitions"]
        assert len((await here.ask("embedding", "create", texts=["a", "b"]))["embeddings"]) == 2
        assert (await here.ask("query", "search", query="lease", collection_id="docs"))["success"]
        said = await here.stream("agent_execution", "execute", agent_id="echo", query="one two three")
        assert said[-1]["payload"]["response"] == "one two three"
        assert [await here.waiting(name) for name, _ in OPERATIONS] == [0] * len(OPERATIONS)


async def test_another_tenant_has_its_own_queue_and_sees_nothing(redis_url: str) -> None:
    async with house(redis_url) as here:
        await here.ask("conversation", "create", **CREATE)
        transport, globex = here.clients.transport("conversation"), evolve(call_context(), tenant_id="globex")
        with pytest.raises(NotFound):
            await transport.call(globex, OPERATIONS["conversation", "messages"], {"conversation_id": "c1"})


async def test_a_repeated_key_does_it_once(redis_url: str) -> None:
    async with house(redis_url) as here:
        await here.ask("conversation", "create", **CREATE)
        for _ in range(2):
            await here.ask("conversation", "append", key="k1", conversation_id="c1", role="user", content="hi")
        assert len((await here.ask("conversation", "messages", conversation_id="c1"))["payload"]["messages"]) == 1


@pytest.mark.parametrize(
    ("fault", "streaming", "kind"),
    [
        (InjectedFault(InjectedFaultKind.ERROR, status=503), False, BadGateway),
        (InjectedFault(InjectedFaultKind.ERROR, status=404), False, NotFound),
        (InjectedFault(InjectedFaultKind.GARBAGE), False, InvalidAnswer),
        (InjectedFault(InjectedFaultKind.CUT), False, InvalidAnswer),
        (InjectedFault(InjectedFaultKind.HANG), False, CallTimeout),
        (InjectedFault(InjectedFaultKind.ERROR, status=503), True, BadGateway),
        (InjectedFault(InjectedFaultKind.CUT), True, BadGateway),
        (InjectedFault(InjectedFaultKind.HANG), True, CallTimeout),
    ],
)
async def test_faults_are_what_they_are_over_http(
    redis_url: str, fault: InjectedFault, streaming: bool, kind: type[OrchestratorError]
) -> None:
    async with house(redis_url, timeout=0.5 if kind is CallTimeout else 10.0) as here:
        assert isinstance(await failure(here, fault, streaming=streaming), kind)


async def test_a_late_answer_comes(redis_url: str) -> None:
    async with house(redis_url) as here:
        here.sandbox.faults.add(InjectedFault(InjectedFaultKind.LATENCY, latency_ms=100))
        assert (await here.ask("tool_registry", "list"))["payload"]["tools"]


async def test_an_abandoned_request_is_stopped_and_leaves_the_queue(redis_url: str) -> None:
    async with house(redis_url) as here:
        here.sandbox.faults.add(InjectedFault(InjectedFaultKind.HANG))
        with pytest.raises(CallTimeout):
            await here.ask("tool_registry", "list", seconds=0.2)
        await eventually("the queue is empty", lambda: here.waiting("tool_registry"), lambda count: count == 0)


async def test_a_request_whose_time_is_over_is_not_begun(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        message = {"message_id": "m1", "tenant_id": "acme", "metadata": {"operation": "list", "reply_to": "nowhere"}}
        await RedisRequestQueues(redis, Keys(), "n2").send("tool_registry", "acme", "m1", orjson.dumps(message), -1)
    async with house(redis_url) as here:
        await here.ask("tool_registry", "list")
        assert here.sandbox.calls["tool_registry", "list"] == 1
        assert not await here.redis.exists("nowhere")


async def test_a_service_says_how_it_is(redis_url: str) -> None:
    async with house(redis_url) as here:
        for name in ("query", "conversation"):
            await here.clients.transport(name).probe(call_context())
