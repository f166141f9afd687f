"""A gateway over a real Redis and a scripted service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import trio
from attrs import evolve, frozen

from orchestrator.clients.opening import open_clients
from orchestrator.config.gateway import GatewaySettings
from orchestrator.config.settings import AgentOrchestratorSettings, ServiceSettings
from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.gateway.usage import UsageGroup, UsageReport
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway import Gateway, open_gateway
from orchestrator.store.background_loops import BackgroundLoops
from orchestrator.store.gateway.answer_cache import AnswerCache
from orchestrator.store.gateway.gateway_calls import GatewayCalls
from orchestrator.store.gateway.usage import UsageLedger
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, Handler, reply, serve

CTX = RequestContext(
    Principal("acme", "svc", Role.SERVICE, frozenset(), float("inf")), "r1", "c1", TraceContext("a" * 32, "b" * 16)
)
USAGE = {"model": "large", "token_usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}}
ANSWER = {"success": True, "data": {"response": "Yes", "sources": []}, "metadata": USAGE}


def keyed(key: str) -> RequestContext:
    """The same context with an idempotency key."""
    return evolve(CTX, idempotency_key=key)


@frozen
class Rig:
    """A running gateway."""

    gateway: Gateway
    redis: Redis
    keys: Keys

    async def usage(self, group_by: UsageGroup = UsageGroup.MODEL) -> UsageReport:
        """What was spent today."""
        today: date = datetime.now(UTC).date()
        return await self.gateway.ledger.read("acme", today, today, group_by)

    async def configure(self, **limits: Any) -> None:
        """Set what is the tenant's own."""
        await self.redis.hset(self.keys.tenant_config("acme"), mapping={name: str(limits[name]) for name in limits})

    async def budget(self) -> dict[str, int]:
        """What is used and reserved today."""
        found = await self.redis.hgetall(self.keys.budget("acme", f"{datetime.now(UTC):%Y%m%d}"))
        return {name.decode(): int(value) for name, value in found.items()}

    async def reservations(self) -> int:
        """How many calls are open."""
        return int(await self.redis.zcard(self.keys.calls("acme")))

    async def settled(self) -> None:
        """Wait until no call is open."""
        await eventually("no call is open", self.reservations, lambda count: count == 0)


@asynccontextmanager
async def rig(
    redis_url: str, handler: Handler, *, lease: float = 3.0, timeout: float = 2.0, **settings: Any
) -> AsyncIterator[Rig]:
    """Run a gateway."""
    async with serve(handler) as url, gateway_at(redis_url, url, lease=lease, timeout=timeout, **settings) as running:
        yield running


@asynccontextmanager
async def gateway_at(
    redis_url: str, url: str, *, lease: float = 3.0, timeout: float = 2.0, **settings: Any
) -> AsyncIterator[Rig]:
    """Run a gateway to a service that is there already; several stand for several processes."""
    query = ServiceSettings(url=url, timeout=timeout)
    embedding = ServiceSettings(url=url, timeout=timeout)
    own = GatewaySettings(**settings)
    async with (
        open_redis(redis_url) as redis,
        open_clients({"query": query, "embedding": embedding}) as clients,
    ):
        stores = (redis, Keys(), 1000, LimitDefaults.of(AgentOrchestratorSettings(gateway=own)))
        calls = GatewayCalls(*stores, lease_ms=round(lease * 1000), give_up_ms=round(own.give_up_after * 1000))
        cache, ledger = AnswerCache(*stores, most_bytes=own.cache_bytes), UsageLedger(*stores)
        gateway = open_gateway(clients, ServiceCoordinator(), calls, cache, ledger, own)
        async with trio.open_nursery() as nursery:
            loops = BackgroundLoops()
            for loop in gateway.loops:
                await loops.start(nursery, loop)
            yield Rig(gateway, redis, Keys())
            nursery.cancel_scope.cancel()


def answering(body: Any, **more: Any) -> tuple[Handler, list[Asked]]:
    """A service that always answers the same, and what it was asked."""
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, body, **more)

    return handler, seen


def embedding() -> tuple[Handler, list[list[str]]]:
    """A service that embeds, each text by its length, and the texts that it was asked for."""
    seen: list[list[str]] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        texts = asked.body["texts"]
        seen.append(texts)
        await trio.sleep(0.05)
        vectors = [[len(text) / 3, -0.1, 1e-300] for text in texts]
        body = {"embeddings": vectors, "model": "small", "dimensions": 3, "total_tokens": sum(map(len, texts))}
        await reply(stream, {"success": True, **body})

    return handler, seen
