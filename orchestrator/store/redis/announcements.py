"""What is published on one channel, as it comes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Self, TypeVar

from attrs import frozen

from orchestrator.store.redis.connection import Message, Redis
from orchestrator.store.redis.pubsub import Subscriber
from orchestrator.store.redis.unreadable import UnreadableInput

T = TypeVar("T")


@frozen
class Announcements(Generic[T]):
    """What is published on a channel, read; None where some may have been missed, or could not be read."""

    _subscriber: Subscriber
    _channel: str
    _read: Callable[[bytes], T]
    _unreadable: UnreadableInput

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T | None:
        received = await anext(self._subscriber)
        if not isinstance(received, Message):
            return None
        return self._unreadable.read(self._channel, self._read, received.payload)


@asynccontextmanager
async def follow_channel(redis: Redis, channel: str, read: Callable[[bytes], T]) -> AsyncIterator[Announcements[T]]:
    """Follow a channel, on a connection of its own; it is followed when the block begins.

    Args:
        redis: opens the connection.
        channel: its name.
        read: reads a payload; one that it can't read is dropped and counted.

    Raises:
        RedisAway: the server is away and stays away, or does not allow it.
    """
    async with redis.subscriber() as subscriber:
        await subscriber.subscribe(channel)
        yield Announcements(subscriber, channel, read, redis.unreadable)
