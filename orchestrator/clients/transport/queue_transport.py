"""Queue transport: a request is an entry of the service's stream in Redis, and replies come to this process.

A caller that stops waiting withdraws its request. Replies are numbered from 0; a gap means that some are lost, or that
another worker of the service has started over: either way the answer is broken.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import orjson
import trio
from attrs import evolve

from orchestrator.clients.dialects.requests import documented
from orchestrator.clients.transport.answers import ServiceAnswer, read_answer, title
from orchestrator.clients.transport.http_errors import begins_stream, check_status, no_stream
from orchestrator.clients.transport.messages import message
from orchestrator.clients.transport.responses import MAX_STREAM_BYTES, Pieces, too_large
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import BadGateway, CallTimeout, ServiceFault, StoreUnavailable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.operations.queue_replies import QueueReply
from orchestrator.telemetry.tracing.calls import answered, begin_queue_call

HEALTH_TENANT: Final = "system"
"""Tenant of health checks."""
FULL_SECONDS: Final = 1
WITHDRAW_SECONDS: Final = 1.0


class ReplySource(Protocol):
    """Replies to one request."""

    async def receive(self) -> QueueReply | None:
        """Return the next reply; None where replies were dropped because they were not read in time."""


class RequestQueues(Protocol):
    """Sends requests to the queues of services, and receives their replies."""

    @property
    def address(self) -> str:
        """Stream that replies are sent to."""

    async def send(self, service: str, tenant_id: str, message_id: str, message: bytes, left_ms: int) -> Any:
        """Put a request into a service's queue; returns a handle for `withdraw`, None where the queue is full."""

    async def withdraw(self, sent: Any) -> None:
        """Withdraw a request: its answer is not needed any more."""

    def expect(self, message_id: str) -> AbstractContextManager[ReplySource]:
        """Receive the replies to a message while the block runs."""


class QueueTransport:
    """Calls one service through its queue.

    Args:
        service: name of the service in the settings.
        settings: timeout in seconds.
        queues: sends requests and receives replies.
    """

    configured: bool = True

    def __init__(self, service: str, settings: ServiceSettings, queues: RequestQueues) -> None:
        self.service = service
        self.timeout = settings.timeout
        self._queues = queues

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        """Call an operation; see `Transport.call`."""
        deadline = min(call.deadline, trio.current_time() + self.timeout)
        with begin_queue_call(call, self.service, operation.name) as span:
            async with self._exchange(call.under(span.ids), operation, parameters, metadata, deadline) as replies:
                first, raw = await replies.receive_reply(), bytearray()
                reply: QueueReply | None = first
                while reply is not None:
                    raw += reply.body
                    reply = await replies.receive_reply() if not reply.last else None
            answered(span, first.status)
            _check(call, operation, first, bytes(raw))
        return read_answer(self.service, first.status, bytes(raw))

    @asynccontextmanager
    async def stream(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> AsyncIterator[Pieces]:
        """Call an operation, and stream its answer; see `Transport.stream`."""
        with begin_queue_call(call, self.service, operation.name) as span:
            call = call.under(span.ids)
            async with self._exchange(call, operation, parameters, metadata, call.deadline, self.timeout) as replies:
                first = await replies.receive_reply()
                answered(span, first.status)
                if not begins_stream(operation, first.status):
                    _check(call, operation, first, first.body)
                    raise no_stream(operation, first.status)
                call.heard()
                replies.put_back(first)
                yield replies

    async def probe(self, call: CallContext) -> None:
        """Check the health of the service; see `Transport.probe`."""
        operation = Operation(self.service, "health", "GET", "/health", idempotent=True, plan=None)
        call = evolve(call, tenant_id=HEALTH_TENANT)
        async with self._exchange(call, operation, {}, {}, call.deadline) as replies:
            reply = await replies.receive_reply()
            _check(call, operation, reply, reply.body)

    @asynccontextmanager
    async def _exchange(
        self,
        call: CallContext,
        operation: Operation,
        parameters: dict[str, Any],
        metadata: dict[str, Any],
        deadline: float,
        idle: float = float("inf"),
    ) -> AsyncIterator["Replies"]:
        """Send a request, and give its replies; the request is withdrawn where they are not read to the end."""
        left_ms = max(1, round((deadline - trio.current_time()) * 1000))
        request = self._message(call, operation, parameters, metadata, left_ms)
        message_id, tenant_id = request["message_id"], request["tenant_id"]
        with self._queues.expect(message_id) as inbox:
            sent = await self._send(tenant_id, message_id, orjson.dumps(request), left_ms, deadline)
            replies = Replies(self.service, inbox, deadline, idle)
            try:
                yield replies
            finally:
                if not replies.ended:
                    await self._withdraw(sent)

    async def _send(self, tenant_id: str, message_id: str, request: bytes, left_ms: int, deadline: float) -> Any:
        # A request whose sending was cancelled may be in the queue: its deadline ends it.
        with trio.CancelScope(deadline=deadline) as scope:
            try:
                sent = await self._queues.send(self.service, tenant_id, message_id, request, left_ms)
            except StoreUnavailable as error:
                raise StoreUnavailable(
                    f"There is no way to {title(self.service)}: the store that holds its queue is away.",
                    retry_after_ms=error.retry_after_ms,
                    service=self.service,
                ) from error
        if scope.cancelled_caught:
            raise CallTimeout(f"{title(self.service)} could not be asked in time.", service=self.service)
        if sent is None:
            raise ServiceFault(
                f"{title(self.service)} has as many requests waiting as it may have.",
                retry_after_ms=FULL_SECONDS * 1000,
                service=self.service,
            )
        return sent

    async def _withdraw(self, sent: Any) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + WITHDRAW_SECONDS):
            try:
                await self._queues.withdraw(sent)
            except StoreUnavailable:
                return  # the request's deadline ends it

    def _message(
        self,
        call: CallContext,
        operation: Operation,
        parameters: dict[str, Any],
        metadata: dict[str, Any],
        left_ms: int,
    ) -> dict[str, Any]:
        request = message(
            call,
            operation,
            documented(operation).parameters(parameters),
            **metadata,
            operation=operation.name,
            reply_to=self._queues.address,
            timeout_ms=left_ms,
            request_id=call.request_id,
            traceparent=str(call.trace),
            tracestate=call.trace.state or None,
            idempotency_key=call.idempotency_key,
        )
        return {"session_id": None, "conversation_id": None, **request, "expires_at": to_timestamp(now_ms() + left_ms)}


class Replies:
    """Replies to one request, and as `Pieces` their bodies.

    Args:
        service: name of the service that answers.
        inbox: source of the replies.
        deadline: of the last reply, on trio's clock.
        idle: longest silence before each reply, in seconds.
    """

    framed: bool = True

    def __init__(self, service: str, inbox: ReplySource, deadline: float, idle: float) -> None:
        self.service = service
        self.ended = False
        self._inbox = inbox
        self._deadline = deadline
        self._idle = idle
        self._next = 0
        self._size = 0
        self._kept: QueueReply | None = None

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end. Raises as `receive_reply` does."""
        while True:
            reply, self._kept = self._kept, None
            if reply is None:
                if self.ended:
                    return None
                reply = await self.receive_reply()
            # The status of the first reply was checked by the caller; it may be 202.
            if reply.status != 200 and reply.sequence > 0:
                raise BadGateway(f"{title(self.service)} broke its answer off.", service=self.service)
            if reply.body:
                return reply.body

    def put_back(self, reply: QueueReply) -> None:
        """Put a reply back: it is received once more."""
        self._kept = reply

    async def receive_reply(self) -> QueueReply:
        """Return the next reply.

        Raises:
            CallTimeout: none came in time.
            BadGateway: replies are missing.
            InvalidAnswer: they exceed `MAX_STREAM_BYTES`.
        """
        with trio.CancelScope(deadline=min(self._deadline, trio.current_time() + self._idle)) as scope:
            reply = await self._inbox.receive()
        if scope.cancelled_caught:
            words = "did not answer in time" if self._next == 0 else "fell silent in the middle of an answer"
            raise CallTimeout(f"{title(self.service)} {words}.", service=self.service)
        if reply is None:
            raise BadGateway(f"{title(self.service)} answered faster than is read.", service=self.service)
        if reply.sequence != self._next:
            raise BadGateway(f"{title(self.service)} answered with a gap: pieces are missing.", service=self.service)
        self._next += 1
        self._size += len(reply.body)
        if self._size > MAX_STREAM_BYTES:
            raise too_large(self.service)
        self.ended = reply.last
        return reply


def _check(call: CallContext, operation: Operation, reply: QueueReply, raw: bytes) -> None:
    headers = [] if reply.retry_after is None else [(b"retry-after", b"%d" % reply.retry_after)]
    check_status(call, operation, reply.status, headers, raw)
