"""redis-py on trio: its command classes over a transport of our own.

All callers share one connection and are pipelined by it (`store.wire`); blocking commands and pub/sub have their
own. A lost connection is made again with growing pauses. What was on its way then fails with `RedisAway`, which says
whether it may have been executed; what had not been sent waits for the new connection, within a bound.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import outcome
import structlog
import trio

from orchestrator.frameworks.redis_inside import CONNECTION, ENCODER, Commands
from orchestrator.store.redis.address import Address, ConnectionLimits, open_wire
from orchestrator.store.redis.backoff import Backoff
from orchestrator.store.redis.errors import RedisAway
from orchestrator.store.redis.joined import Common, Part
from orchestrator.store.redis.packing import pack
from orchestrator.store.redis.pending_replies import UNSENT, PendingReplies, PendingReply
from orchestrator.store.redis.pubsub import RECONNECTED, Message, Subscriber
from orchestrator.store.redis.response_callbacks import CALLBACKS, shape
from orchestrator.store.redis.unreadable import UnreadableInput
from orchestrator.store.redis.wire import Counters, Wire, Wires

__all__ = ["RECONNECTED", "Counters", "Dedicated", "Message", "Redis", "RedisAway", "Subscriber", "open_redis"]

_log = structlog.get_logger()

_ATTEMPTS: Final = 3
"""Connections that a command may see break before it was sent, until it gives up."""


class _Client(Commands, ABC):  # type: ignore[misc] # redis-py types replies for all its settings at once; ours are bytes
    """Every command of redis-py, answered in bytes."""

    def __init__(self, address: Address, limits: ConnectionLimits, name: str, wires: Wires) -> None:
        self._address = address
        self._limits = limits
        self._name = name
        self._wire: Wire | None = None
        self._wires = wires
        self.counters = wires.counters

    def get_encoder(self) -> Any:
        """Return how values are encoded; some commands of redis-py ask for it."""
        return ENCODER

    def get_connection_kwargs(self) -> dict[str, Any]:
        """Return how connections are made; some commands of redis-py ask for it."""
        return dict(CONNECTION)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command.

        Raises:
            RedisAway: Redis can't be reached, or does not serve at the moment.
            TenantDamaged: Redis refuses the command for what its keys hold.
            TypeError: an argument is neither text, bytes nor a number.
        """
        packed = pack(args)
        await trio.lowlevel.checkpoint_if_cancelled()
        wire = self._wire
        if wire is None or not wire.ready:
            reply = await self._exchange(packed, PendingReply)
        else:
            slot = PendingReply(wire.now())
            wire.submit(packed, slot)
            reply = await trio.lowlevel.wait_task_rescheduled(slot.abandon)
            if reply is UNSENT:
                reply = await self._exchange(packed, PendingReply)
        if options:
            return shape(args[0], reply, options)
        if isinstance(reply, Exception):
            raise reply
        callback = CALLBACKS.get(args[0])
        return reply if callback is None else callback(reply)

    async def run_joined(self, common: Common, part: Part) -> Any:
        """Run a script for one of several, with those who ask for it at the same moment; returns the reply to this one.

        Raises:
            RedisAway, TenantDamaged
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        reply: Any = UNSENT
        if (wire := self._wire) is not None and wire.ready:
            slot = PendingReply(wire.now())
            wire.submit_joined(common, part, slot)
            reply = await trio.lowlevel.wait_task_rescheduled(slot.abandon)
        if reply is UNSENT:
            keys = (*common.keys, *part.keys)
            (reply,) = await self.execute_command("EVALSHA", common.digest, len(keys), *keys, *common.args, *part.args)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def gather(self, commands: Iterable[Sequence[Any]], *, raise_on_error: bool = True) -> list[Any]:
        """Execute several commands in one send; replies come as Redis gives them.

        Args:
            commands: each with its arguments.
            raise_on_error: raise the first error of Redis; else errors stand among the replies.

        Raises:
            RedisAway, TenantDamaged, TypeError
        """
        packed = [pack(command) for command in commands]
        if not packed:
            return []
        count = len(packed)
        replies = await self._exchange(b"".join(packed), partial(PendingReplies, count=count), count)
        if isinstance(replies, RedisAway):
            raise replies
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        answers: list[Any] = replies
        return answers

    async def _exchange(self, packed: bytes, make_slot: Callable[[float], PendingReply], count: int = 1) -> Any:
        """Send commands as soon as there is a connection and room, again if they were not sent; return the reply."""
        await trio.lowlevel.checkpoint_if_cancelled()
        reason = ""
        for _ in range(_ATTEMPTS):
            wire = await self._connected_wire(trio.current_time() + self._limits.reconnect_wait)
            if wire.ready or await wire.wait_for_room():
                slot = make_slot(wire.now())
                wire.submit(packed, slot, count)
                reply = await trio.lowlevel.wait_task_rescheduled(slot.abandon)
                if reply is not UNSENT:
                    return reply
            reason = wire.reason or ""
        raise RedisAway(f"lost {_ATTEMPTS} connections in a row, the last one because {reason}", sent=False)

    @abstractmethod
    async def _connected_wire(self, deadline: float) -> Wire:
        """Return the connection, once there is one.

        Raises:
            RedisAway: there was none until the deadline.
        """


class Dedicated(_Client):
    """A connection of one's own. Once lost or cancelled, it stays closed: whatever state it had is gone with it."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command, however long it blocks; cancelling it closes the connection, so that the server stops it.

        Raises:
            RedisAway, TenantDamaged, TypeError
        """
        try:
            return await super().execute_command(*args, **options)
        except trio.Cancelled:
            self._close("a command was cancelled")
            raise

    async def gather(self, commands: Iterable[Sequence[Any]], *, raise_on_error: bool = True) -> list[Any]:
        """Execute several commands in one send, as `execute_command` does one."""
        try:
            return await super().gather(commands, raise_on_error=raise_on_error)
        except trio.Cancelled:
            self._close("a command was cancelled")
            raise

    def _attach(self, wire: Wire) -> None:
        self._wire = wire

    def _close(self, reason: str) -> None:
        if self._wire is not None:
            self._wire.fail(reason)

    async def _connected_wire(self, deadline: float) -> Wire:
        wire = self._wire
        if wire is None or wire.reason is not None:
            raise RedisAway("the dedicated connection is closed" if wire is None else wire.reason or "", sent=False)
        return wire


class Redis(_Client):
    """The client that everybody shares. It keeps itself connected; `counters` say what passed."""

    def __init__(self, address: Address, limits: ConnectionLimits, name: str, unreadable: UnreadableInput) -> None:
        super().__init__(address, limits, name, Wires())
        self.unreadable = unreadable
        """What was read and could not be understood."""
        self._connected = trio.Event()
        self._reason = "not connected yet"
        self._closed = False

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Dedicated]:
        """Open a connection of one's own, for commands that block, without the deadline of commands.

        Raises:
            RedisAway: Redis can't be reached.
        """
        limits = ConnectionLimits(self._limits.connect_timeout, None, 0.0, self._limits.max_pending_bytes)
        own = Dedicated(self._address, limits, self._name, self._wires)
        async with open_wire(self._address, limits, self._name, self._wires) as wire:
            own._attach(wire)  # noqa: SLF001 - of this module
            yield own

    @asynccontextmanager
    async def subscriber(self) -> AsyncIterator[Subscriber]:
        """Open a connection for pub/sub, that keeps itself connected and subscribed."""
        subscriber = Subscriber(self._address, self._limits, self._name, self._wires)
        result: outcome.Outcome[None] = outcome.Value(None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscriber.run)
            try:
                yield subscriber
            except BaseException as error:  # noqa: BLE001 - raised again below, as it came and not in a group
                result = outcome.Error(error)
            nursery.cancel_scope.cancel()
        result.unwrap()

    @property
    def why_away(self) -> str | None:
        """Why there is no connection at present; None where there is one."""
        return self._reason if self._wire is None else None

    async def wait_lost(self) -> None:
        """Wait until the present connection is lost; returns at once where there is none."""
        if self._wire is None:
            await trio.lowlevel.checkpoint()
        else:
            await self._wire.lost.wait()

    async def keep_connected(self, *, task_status: trio.TaskStatus[RedisAway | None]) -> None:
        """Connect, and again whenever the connection is lost, for ever.

        `started` gives None with the first connection; or why there is none, and then that was the only attempt.
        """
        backoff, ever = Backoff(), False
        while True:
            try:
                async with open_wire(self._address, self._limits, self._name, self._wires) as wire:
                    self._wire = wire
                    self._connected.set()
                    backoff = Backoff()
                    if ever:
                        self.counters.reconnects += 1
                    else:
                        ever = True
                        task_status.started(None)
                    await self._until_lost(wire)
            except RedisAway as away:
                if not ever:
                    task_status.started(away)
                    return
                self._reason = away.reason
            pause = backoff.next()
            _log.warning("redis.away", reason=self._reason, retry_in_seconds=round(pause, 3))
            await trio.sleep(pause)

    async def _until_lost(self, wire: Wire) -> None:
        try:
            await wire.lost.wait()
        finally:
            self._reason = wire.reason or "the client was closed"
            self._wire = None
            self._connected = trio.Event()

    async def _connected_wire(self, deadline: float) -> Wire:
        while (wire := self._wire) is None or wire.reason is not None:
            if self._closed:
                raise RedisAway("the client was closed", sent=False)
            with trio.move_on_at(deadline) as waiting:
                await (wire.lost.wait() if wire is not None else self._connected.wait())
            if waiting.cancelled_caught:
                raise RedisAway(self._reason if wire is None else wire.reason or "", sent=False)
        return wire


@asynccontextmanager
async def open_redis(
    url: str,
    *,
    connect_timeout: float = 5.0,
    command_timeout: float | None = 5.0,
    reconnect_wait: float = 1.0,
    max_pending_bytes: int = 4 * 2**20,
    name: str = "nooble-orch",
    unreadable: UnreadableInput | None = None,
) -> AsyncIterator[Redis]:
    """Open a client that keeps itself connected.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials and database.
        connect_timeout: deadline of a connection, in seconds.
        command_timeout: age of the oldest unanswered command at which the connection counts as dead; None: any.
        reconnect_wait: seconds that a command waits for a connection that is being made again.
        max_pending_bytes: unsent bytes beyond which callers wait, in the order in which they came.
        name: what the server's list of clients shows.
        unreadable: counts what could not be understood; None: it is only logged.

    Raises:
        RedisAway: the server can't be reached.
        ValueError: the URL is none.
    """
    limits = ConnectionLimits(connect_timeout, command_timeout, reconnect_wait, max_pending_bytes)
    client = Redis(Address.parse(url), limits, name, unreadable or UnreadableInput())
    result: outcome.Outcome[None] = outcome.Value(None)
    async with trio.open_nursery() as nursery:
        try:
            away: RedisAway | None = await nursery.start(client.keep_connected)
            if away is not None:
                raise away
            yield client
        except BaseException as error:  # noqa: BLE001 - raised again below, as it came and not in a group
            result = outcome.Error(error)
        client._closed = True  # noqa: SLF001 - of this module
        nursery.cancel_scope.cancel()
    result.unwrap()
