"""Revocations of tokens in Redis: few, kept until the tokens would have expired, and told to every process."""

from contextlib import AbstractAsyncContextManager
from typing import Final

import orjson
from attrs import frozen

from orchestrator.models.operations.revocation import Revocation
from orchestrator.store.keys import Keys
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_REVOKE: Final = Script("operations/revoke")


@frozen
class RevocationStore:
    """Keeps revocations.

    Args:
        redis: the shared connection.
        keys: the names of keys.
        kept_seconds: how long each is kept: no token lives longer.
    """

    redis: Redis
    keys: Keys
    kept_seconds: float

    @on_shared_keys
    async def add(self, *, jti: str, user_id: str, tenant_id: str) -> Revocation:
        """Revoke what is named, as of now.

        Raises:
            StoreUnavailable: Redis is away; it may have been revoked all the same, and doing it twice is fine.
        """
        args = [jti, user_id, tenant_id, round(self.kept_seconds * 1000), self.keys.revocation_channel]
        return _read_revocation(await _REVOKE(self.redis, keys=[self.keys.revocations], args=args))

    @on_shared_keys
    async def load(self) -> list[Revocation]:
        """Return all that are in force."""
        clock = await self.redis.time()
        members = await self.redis.zrangebyscore(self.keys.revocations, clock[0] * 1000, "+inf")
        return self.redis.unreadable.read_all(self.keys.revocations, _read_revocation, members)

    def follow(self) -> AbstractAsyncContextManager[Announcements[Revocation]]:
        """Follow revocations as they are made."""
        return follow_channel(self.redis, self.keys.revocation_channel, _read_revocation)


def _read_revocation(raw: bytes) -> Revocation:
    """Read what `revoke.lua` writes; fields of later versions are passed over.

    Raises:
        ValueError, LookupError, TypeError: it is none.
    """
    told = orjson.loads(raw)
    revocation = Revocation(told["jti"], told["user_id"], told["tenant_id"], told["before_ms"], told["until_ms"])
    texts, moments = (told["jti"], told["user_id"], told["tenant_id"]), (told["before_ms"], told["until_ms"])
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, int) for one in moments):
        raise TypeError("no revocation")
    return revocation
