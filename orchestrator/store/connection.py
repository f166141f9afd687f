"""redis-py on trio: its command classes over a transport of our own.

All callers share one connection and are pipelined by it (`store.wire`); blocking commands and pub/sub have their
own. A lost connection is made again with growing pauses. What was on its way then fails with `RedisAway`, which says
whether it may have been executed; what had not been sent waits for the new connection, within a bound.
"""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import hiredis
import structlog
import trio
from redis._parsers.encoders import Encoder
from redis._parsers.response_callbacks import get_response_callbacks
from redis.commands import AsyncCoreCommands
from redis.exceptions import BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError

from orchestrator.store.address import Address, Limits, RedisAway, open_wire
from orchestrator.store.pubsub import RECONNECTED, Message, Subscriber
from orchestrator.store.wire import ConnectionLost, Wire

__all__ = ["RECONNECTED", "Message", "Redis", "RedisAway", "Subscriber", "open_redis"]

_log = structlog.get_logger()

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 2.0
_REFUSALS: Final = (BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError)
"""Replies by which Redis says that it is there, but can't serve."""


_Commands: Any = AsyncCoreCommands


class Redis(_Commands):  # type: ignore[misc] # redis-py types replies for all its settings at once; ours are bytes
    """A client: every command of redis-py, answered in bytes."""

    response_callbacks: Mapping[str, Any] = get_response_callbacks(3, legacy_responses=True)

    def __init__(self, address: Address, limits: Limits, name: str) -> None:
        self._address = address
        self._limits = limits
        self._name = name
        self._wire: Wire | None = None
        self._connected = trio.Event()
        self._reason = "not connected yet"
        self._encoder = Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call] # of redis-py
        self.reconnects = 0

    def get_encoder(self) -> Encoder:
        """Return how values are encoded; some commands of redis-py ask for it."""
        return self._encoder

    def get_connection_kwargs(self) -> dict[str, Any]:
        """Return how connections are made; some commands of redis-py ask for it."""
        return {"decode_responses": False, "protocol": 3}

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command.

        Raises:
            RedisAway: Redis can't be reached, or does not serve at the moment.
            ResponseError: Redis refuses the command.
        """
        [reply] = await self._exchange(hiredis.pack_command(args), 1)
        if isinstance(reply, Exception):
            raise _translate(reply)
        callback = self.response_callbacks.get(args[0])
        if callback is None:
            return reply
        options.pop("keys", None)
        return callback(reply, **options)

    async def gather(self, commands: Sequence[tuple[Any, ...]], *, raise_on_error: bool = True) -> list[Any]:
        """Execute several commands in one send; replies come as Redis gives them.

        Args:
            commands: each with its arguments.
            raise_on_error: raise the first error of Redis; else errors stand among the replies.

        Raises:
            RedisAway, ResponseError
        """
        if not commands:
            return []
        replies = await self._exchange(b"".join(map(hiredis.pack_command, commands)), len(commands))
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors and raise_on_error:
            raise _translate(errors[0])
        return replies

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        deadline = trio.current_time() + self._limits.reconnect_wait
        while True:
            wire = self._wire
            if wire is None:
                with trio.move_on_at(deadline):
                    await self._connected.wait()
                if (wire := self._wire) is None:
                    raise RedisAway(self._reason, sent=False)
            try:
                return await wire.execute(packed, count)
            except ConnectionLost as lost:
                if lost.sent or trio.current_time() >= deadline:
                    raise RedisAway(lost.reason, sent=lost.sent) from None
                if self._wire is wire:
                    await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Self]:
        """Open a connection of one's own, for commands that block; leaving or cancelling closes it.

        Raises:
            RedisAway: Redis can't be reached.
        """
        limits = Limits(self._limits.connect_timeout, None, 0.0, self._limits.max_pending_bytes)
        own = type(self)(self._address, limits, self._name)
        async with open_wire(self._address, limits, self._name) as own._wire:  # noqa: SLF001 - of the same class
            yield own

    @asynccontextmanager
    async def subscriber(self) -> AsyncIterator[Subscriber]:
        """Open a connection for pub/sub."""
        subscriber = Subscriber(self._address, self._limits, self._name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscriber.run)
            yield subscriber
            nursery.cancel_scope.cancel()

    async def keep_connected(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Connect, and again whenever the connection is lost, for ever.

        Raises:
            RedisAway: the very first connection can't be made.
        """
        pause, ever = _FIRST_PAUSE, False
        while True:
            try:
                async with open_wire(self._address, self._limits, self._name) as wire:
                    self._wire, pause, ever = wire, _FIRST_PAUSE, True
                    self._connected.set()
                    task_status.started()
                    await self._until_lost(wire)
            except RedisAway as away:
                if not ever:
                    raise
                self._reason = away.reason
            self.reconnects += 1
            _log.warning("redis.away", reason=self._reason, retry_in_seconds=round(pause, 3))
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects, guards nothing
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _until_lost(self, wire: Wire) -> None:
        try:
            await wire.lost.wait()
        finally:
            self._reason = wire.reason
            self._wire = None
            self._connected = trio.Event()


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    connect_timeout: float = 5.0,
    command_timeout: float | None = 5.0,
    reconnect_wait: float = 1.0,
    max_pending_bytes: int = 4 * 2**20,
    name: str = "nooble-orch",
) -> AsyncIterator[Redis]:
    """Open a client that keeps itself connected.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials and database.
        connect_timeout: deadline of a connection, in seconds.
        command_timeout: seconds without any reply after which a connection counts as dead; None: for ever.
        reconnect_wait: seconds that a command waits for a connection that is being made again.
        max_pending_bytes: unsent bytes beyond which callers wait.
        name: what the server's list of clients shows.

    Raises:
        RedisAway: the server can't be reached.
    """
    limits = Limits(connect_timeout, command_timeout, reconnect_wait, max_pending_bytes)
    client = Redis(Address.parse(url), limits, name)
    away: RedisAway | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(client.keep_connected)
        except RedisAway as error:
            away = error
        else:
            yield client
        nursery.cancel_scope.cancel()
    if away is not None:
        raise away


def _translate(error: Exception) -> Exception:
    if isinstance(error, _REFUSALS):
        return RedisAway(f"the server refuses: {error}", sent=False)
    return error
