"""Queues of the stand-ins: each message is handled as the HTTP request that it stands for."""

import sys
from collections.abc import Callable, Collection, Mapping
from secrets import token_hex
from typing import Any, Final

import orjson
import trio
from attrs import define, field

from orchestrator.clients.registry import OPERATIONS
from orchestrator.clients.transport.queue_transport import HEALTH_TENANT
from orchestrator.models.downstream.operation import Operation
from orchestrator.sandbox.serving.http_server import (
    ConnectionCut,
    Request,
    SandboxHandler,
    Stream,
    Writer,
)
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Dedicated, Redis, RedisAway
from orchestrator.store.redis.groups import ensure_group
from orchestrator.store.redis.pubsub import Message

AT_ONCE: Final = 256
"""Concurrent requests of one service."""
BLOCK_MS: Final = 500
"""Wait for new entries, after which new tenants are looked up, in ms."""
PAUSE_SECONDS: Final = 0.2
REPLIES: Final = 100_000
"""Bound of a stream of replies."""


@define(eq=False)
class QueueServer:
    """Serves the queues of all services, of all tenants.

    Args:
        redis: holds the queues.
        keys: names of the queues.
        handler: answers HTTP requests, with the name of the service as the first part of the path.
        services: names of the services.
        tenants: known from the start; others are looked up.
    """

    redis: Redis
    keys: Keys
    handler: SandboxHandler
    services: Collection[str]
    tenants: Collection[str]
    _consumer: str = field(factory=lambda: f"sandbox-{token_hex(4)}", init=False)
    _running: dict[str, trio.CancelScope] = field(factory=dict, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `started` when requests are accepted."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch_cancels)
            for service in self.services:
                await nursery.start(self._serve, service)
            task_status.started()

    async def _watch_cancels(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with self.redis.subscriber() as subscriber:
            await subscriber.subscribe(*(self.keys.service_cancel(service) for service in self.services))
            task_status.started()
            async for message in subscriber:
                scope = self._running.get(message.payload.decode()) if isinstance(message, Message) else None
                if scope is not None:
                    scope.cancel()

    async def _serve(self, service: str, *, task_status: trio.TaskStatus[None]) -> None:
        limit = trio.CapacityLimiter(AT_ONCE)
        await self._prepare(service, set(await self._tenants()))
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    async with self.redis.dedicated() as own:
                        await self._take(service, own, limit, nursery)
                except RedisAway as away:
                    print(f"the queues of {service} can't be read: {away.reason}", file=sys.stderr)  # noqa: T201  # a child process reports there
                await trio.sleep(PAUSE_SECONDS)

    async def _take(self, service: str, own: Dedicated, limit: trio.CapacityLimiter, nursery: trio.Nursery) -> None:
        known: set[str] = set()
        while True:
            tenants = set(await self._tenants())
            if tenants - known:
                await self._prepare(service, tenants - known)
                known = tenants
            names = {self.keys.service_tasks(service, tenant): tenant for tenant in sorted(known)}
            room = max(1, int(limit.available_tokens))
            found = await own.execute_command(
                "XREADGROUP", "GROUP", service, self._consumer, "COUNT", room, "BLOCK", BLOCK_MS,
                "STREAMS", *names, *(">" for _ in names),
            )  # fmt: skip
            for name, parts in found.items():
                for entry_id, values in (entry for entries in parts for entry in entries):
                    holder = object()
                    await limit.acquire_on_behalf_of(holder)
                    done = _releasing(limit, holder)
                    nursery.start_soon(self._work, service, name.decode(), entry_id, values, done)

    async def _tenants(self) -> list[str]:
        found = await self.redis.smembers(self.keys.tenants)
        return [*self.tenants, HEALTH_TENANT, *(tenant.decode() for tenant in found)]

    async def _prepare(self, service: str, tenants: Collection[str]) -> None:
        for tenant in tenants:
            await ensure_group(self.redis, self.keys.service_tasks(service, tenant), service)

    async def _work(
        self, service: str, queue: str, entry_id: bytes, values: Mapping[bytes, bytes], done: Callable[[], None]
    ) -> None:
        """Answer one request, unless it has expired or was withdrawn; then delete it from the queue."""
        try:
            seconds, microseconds = await self.redis.time()
            left = int(values[b"deadline"]) / 1000 - seconds - microseconds / 1e6
            if left > 0:
                message = orjson.loads(values[b"message"])
                with trio.CancelScope(deadline=trio.current_time() + left) as scope:
                    self._running[message["message_id"]] = scope
                    try:
                        await self._answer(service, message)
                    finally:
                        del self._running[message["message_id"]]
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self.redis.gather([("XACK", queue, service, entry_id), ("XDEL", queue, entry_id)])
        except RedisAway as away:
            print(f"a request to {service} is not answered: {away.reason}", file=sys.stderr)  # noqa: T201  # a child process reports there
        finally:
            done()

    async def _answer(self, service: str, message: dict[str, Any]) -> None:
        replies = _Replies(self.redis, message["metadata"]["reply_to"], message["message_id"])
        answer = await self.handler(_request(service, message))
        if isinstance(answer, Stream):
            try:
                await answer.run(Writer(replies.send))
            except ConnectionCut:
                await replies.send(b"", last=True, status=502)
            else:
                await replies.send(b"", last=True)
        else:
            body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
            wait = next((value for name, value in answer.headers if name == "retry-after"), None)
            await replies.send(body, last=True, status=answer.status, retry_after=wait)


@define(eq=False)
class _Replies:
    """Numbers the replies to one request."""

    redis: Redis
    stream: str
    message_id: str
    _sent: int = field(default=0, init=False)

    async def send(self, body: bytes, *, last: bool = False, status: int = 200, retry_after: str | None = None) -> None:
        fields: dict[str, Any] = {
            "in_reply_to": self.message_id,
            "sequence": self._sent,
            "last": int(last),
            "status": status,
            "message": body,
        }
        if retry_after is not None:
            fields["retry_after"] = retry_after
        self._sent += 1
        await self.redis.xadd(self.stream, fields, maxlen=REPLIES, nomkstream=True)


def _releasing(limit: trio.CapacityLimiter, holder: object) -> Callable[[], None]:
    return lambda: limit.release_on_behalf_of(holder)


def _request(service: str, message: dict[str, Any]) -> Request:
    """Return the HTTP request that a message stands for."""
    metadata, parameters = message["metadata"], message["payload"]
    name = metadata["operation"]
    operation = OPERATIONS.get((service, name)) or Operation(service, name, "GET", f"/{name}", plan=None)
    tenant_id = message["tenant_id"]
    rest = {name: value for name, value in parameters.items() if name not in operation.path_parameters}
    body = {**message, "payload": rest} if operation.domain else rest
    headers = {
        "x-tenant-id": tenant_id,
        "x-correlation-id": message["correlation_id"],
        "x-request-id": metadata.get("request_id"),
        "x-deadline-ms": str(metadata["timeout_ms"]),
        "traceparent": metadata.get("traceparent"),
        "idempotency-key": metadata.get("idempotency_key"),
    }
    in_path = {"tenant_id": tenant_id, **parameters}
    path = tuple(str(in_path[part[1:-1]]) if part[0] == "{" else part for part in operation.path.split("/")[1:])
    return Request(
        method=operation.method,
        segments=(service, *path),
        query={name: str(value) for name, value in rest.items() if value is not None} if operation.reads else {},
        headers={name: value for name, value in headers.items() if value is not None},
        body=b"" if operation.reads else orjson.dumps(body),
    )
