"""That an agent or a tool has changed, as processes tell each other."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from attrs import frozen

from orchestrator.store.keys import Keys
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.redis.connection import Redis

T = TypeVar("T")


@frozen
class CatalogChanges:
    """The channel of changes.

    Args:
        redis: the shared connection.
        keys: the names of channels.
    """

    redis: Redis
    keys: Keys

    async def publish(self, change: bytes) -> None:
        """Tell every process of a change.

        Raises:
            StoreUnavailable: Redis is away; it may have been told all the same.
        """
        await self.redis.publish(self.keys.catalog_channel, change)

    def follow(self, read: Callable[[bytes], T]) -> AbstractAsyncContextManager[Announcements[T]]:
        """Follow the changes that processes publish, this one among them; `read` reads each."""
        return follow_channel(self.redis, self.keys.catalog_channel, read)
