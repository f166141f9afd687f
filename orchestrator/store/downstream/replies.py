"""Requests to services through their queues, and the replies, which come to this process in a stream of its own.

One task reads the stream, on a connection of its own, and hands each reply to who waits for it. What is read is
deleted, and the stream goes with its process: services write to it only while it is there (`XADD … NOMKSTREAM`).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field, frozen

from orchestrator.models.operations.queue_replies import QueueReply
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Dedicated, Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.redis.wakeup import Wakeup
from orchestrator.store.script import Script

QUEUE_LENGTH: Final = 10_000
"""Requests that one service may have waiting of one tenant."""
REPLIES_TTL_MS: Final = 60_000
"""How long the stream outlives its process."""
_BLOCK_MS: Final = 5000
_BATCH: Final = 256
_INBOX_BYTES: Final = 8 * 2**20
"""What may wait for one reader; a slower reader loses the answer."""

_SEND: Final = Script("downstream/send_request")
_WITHDRAW: Final = Script("downstream/withdraw_request")


@define(eq=False)
class Inbox:
    """The replies to one request, as they come."""

    overrun: bool = field(default=False, init=False)
    """More came than was read."""
    _replies: deque[QueueReply] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)
    _reader: Wakeup = field(factory=Wakeup, init=False)

    async def receive(self) -> QueueReply | None:
        """Return the next reply; None where some were dropped because they were not read in time."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._replies:
            if self.overrun:
                return None
            await self._reader.wait()
        reply = self._replies.popleft()
        self._size -= len(reply.body)
        return reply

    def put(self, reply: QueueReply) -> None:
        """Take a reply in."""
        if self.overrun:
            return
        self._size += len(reply.body)
        self.overrun = self._size > _INBOX_BYTES
        if not self.overrun:
            self._replies.append(reply)
        self._reader.ring()


@frozen
class Sent:
    """A request that was sent."""

    service: str
    tenant_id: str
    message_id: str
    entry_id: bytes


class RedisRequestQueues:
    """Sends requests to the queues of services, and receives the replies; one object serves the whole process.

    Args:
        redis: the shared connection, which opens the one for replies too.
        keys: the names of keys.
        node: the name of this process.
        dropped: told of each reply whose caller no longer waits.
    """

    def __init__(self, redis: Redis, keys: Keys, node: str, dropped: Callable[[], None] = lambda: None) -> None:
        self._redis = redis
        self._keys = keys
        self._dropped = dropped
        self._inboxes: dict[bytes, Inbox] = {}
        self._position = b"0"
        self.address = keys.replies(node)
        """The stream that replies go to."""

    async def send(self, service: str, tenant_id: str, message_id: str, message: bytes, left_ms: int) -> Sent | None:
        """Put a request into a service's queue; None where that is full.

        Args:
            service: who is asked.
            tenant_id: on whose behalf.
            message_id: of the message; replies name it.
            message: as JSON.
            left_ms: how long the answer is waited for; a request that is older is not to be begun.

        Raises:
            StoreUnavailable: Redis is away; the request may have been sent all the same.
        """
        queue = self._keys.service_tasks(service, tenant_id)
        entry_id = await _SEND(self._redis, keys=[queue], args=[QUEUE_LENGTH, left_ms, message])
        return None if entry_id is None else Sent(service, tenant_id, message_id, entry_id)

    async def withdraw(self, sent: Sent) -> None:
        """Withdraw a request: its caller no longer waits.

        Raises:
            StoreUnavailable: Redis is away; the request's deadline ends it then.
        """
        queue, channel = self._keys.service_tasks(sent.service, sent.tenant_id), self._keys.service_cancel(sent.service)
        await _WITHDRAW(self._redis, keys=[queue], args=[sent.entry_id, channel, sent.message_id])

    @contextmanager
    def expect(self, message_id: str) -> Iterator[Inbox]:
        """Take in the replies to a message, while the block runs."""
        inbox, name = Inbox(), message_id.encode()
        self._inboxes[name] = inbox
        try:
            yield inbox
        finally:
            del self._inboxes[name]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read replies until cancelled; `started` when they can be sent.

        Raises:
            StoreUnavailable: there is no connection, or no more.
        """
        async with self._redis.dedicated() as own:
            await self._keep_open(own)
            task_status.started()
            while True:
                await self._read(own)

    @on_shared_keys
    async def _keep_open(self, own: Dedicated) -> None:
        """Make sure that the stream is there, and stays for a while."""
        if not await own.execute_command("PEXPIRE", self.address, REPLIES_TTL_MS):
            await own.gather([("XADD", self.address, "*", "opened", "1"), ("PEXPIRE", self.address, REPLIES_TTL_MS)])

    @on_shared_keys
    async def _read(self, own: Dedicated) -> None:
        """Read what has come, or wait for it."""
        found = await own.execute_command(
            "XREAD", "COUNT", _BATCH, "BLOCK", _BLOCK_MS, "STREAMS", self.address, self._position
        )
        batch = [entry for entries in found.values() for part in entries for entry in part]
        for place, values in batch:
            self._hand_out(values)
            self._position = place
        if batch:
            await own.execute_command("XDEL", self.address, *(place for place, _ in batch))
        await self._keep_open(own)

    def _hand_out(self, values: Mapping[bytes, bytes]) -> None:
        name = values.get(b"in_reply_to")
        if name is None:
            return
        inbox = self._inboxes.get(name)
        if inbox is None:
            self._dropped()
        else:
            inbox.put(_reply(values))


def _reply(values: Mapping[bytes, bytes]) -> QueueReply:
    """Read a reply; one that is malformed gets a number that none can have, so that its reader takes it for broken."""
    try:
        wait = values.get(b"retry_after")
        return QueueReply(
            sequence=int(values[b"sequence"]),
            last=values[b"last"] == b"1",
            status=int(values.get(b"status", b"200")),
            body=values.get(b"message", b""),
            retry_after=None if wait is None else int(wait),
        )
    except (KeyError, ValueError):
        return QueueReply(sequence=-1, last=True, status=200, body=b"")
