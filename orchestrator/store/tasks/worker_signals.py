"""What workers are told at once: that there is work, and that a running task shall stop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, Literal, Self

from attrs import frozen

from orchestrator.models.common.ids import read_id
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Message, Redis
from orchestrator.store.redis.pubsub import Subscriber
from orchestrator.store.redis.unreadable import UnreadableInput


@frozen
class WorkAdded:
    """A tenant has work."""

    tenant_id: str


@frozen
class CancelAsked:
    """A running task shall stop, if it is this process's; its record says why."""

    task_id: str


class _Gap(Enum):
    MISSED = "missed"


MISSED: Final = _Gap.MISSED
"""Signals may have been missed: the queues and the records of running tasks have what they said."""
WorkerSignal = WorkAdded | CancelAsked | Literal[_Gap.MISSED]


@frozen
class Signals:
    """Signals, as they come."""

    _subscriber: Subscriber
    _cancel_channel: bytes
    _unreadable: UnreadableInput

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WorkerSignal:
        while True:
            received = await anext(self._subscriber)
            if not isinstance(received, Message):
                return MISSED
            named = self._unreadable.read(received.channel.decode(), read_id, received.payload)
            if named is not None:
                return CancelAsked(named) if received.channel == self._cancel_channel else WorkAdded(named)


@frozen
class WorkerSignals:
    """The channels of signals.

    Args:
        redis: the shared connection, which opens the one for signals too.
        keys: the names of channels.
    """

    redis: Redis
    keys: Keys

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[Signals]:
        """Follow signals; they are heard when the block begins.

        Raises:
            RedisAway: the server is away and stays away, or does not allow it.
        """
        async with self.redis.subscriber() as subscriber:
            await subscriber.subscribe(self.keys.wake_channel, self.keys.cancel_channel)
            yield Signals(subscriber, self.keys.cancel_channel.encode(), self.redis.unreadable)
