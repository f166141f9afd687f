"""What is published on one channel, as it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from attrs import frozen

from orchestrator.store.redis.connection import Message, Redis
from orchestrator.store.redis.pubsub import Subscriber


@frozen
class Announcements:
    """The payloads published on a channel; None where some may have been missed."""

    _subscriber: Subscriber

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | None:
        received = await anext(self._subscriber)
        return received.payload if isinstance(received, Message) else None


@asynccontextmanager
async def follow_channel(redis: Redis, channel: str) -> AsyncIterator[Announcements]:
    """Follow a channel, on a connection of its own; it is followed when the block begins.

    Raises:
        RedisAway: the server is away and stays away, or does not allow it.
    """
    async with redis.subscriber() as subscriber:
        await subscriber.subscribe(channel)
        yield Announcements(subscriber)
