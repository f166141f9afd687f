"""Revocations of tokens in Redis: few, kept until the tokens would have expired, and told to every process."""

from contextlib import AbstractAsyncContextManager
from typing import Final

import orjson
from attrs import frozen

from orchestrator.models.operations.revocation import Revocation
from orchestrator.store.keys import Keys
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.redis.connection import Redis
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

    async def add(self, *, jti: str, user_id: str, tenant_id: str) -> Revocation:
        """Revoke what is named, as of now.

        Raises:
            StoreUnavailable: Redis is away; it may have been revoked all the same, and doing it twice is fine.
        """
        args = [jti, user_id, tenant_id, round(self.kept_seconds * 1000), self.keys.revocation_channel]
        return read_revocation(await _REVOKE(self.redis, keys=[self.keys.revocations], args=args))

    async def load(self) -> list[Revocation]:
        """Return all that are in force."""
        clock = await self.redis.time()
        members = await self.redis.zrangebyscore(self.keys.revocations, clock[0] * 1000, "+inf")
        return [read_revocation(member) for member in members]

    def follow(self) -> AbstractAsyncContextManager[Announcements]:
        """Follow revocations as they are made; `read_revocation` reads each."""
        return follow_channel(self.redis, self.keys.revocation_channel)


def read_revocation(raw: bytes) -> Revocation:
    """Read what `revoke.lua` writes; fields of later versions are passed over."""
    told = orjson.loads(raw)
    return Revocation(told["jti"], told["user_id"], told["tenant_id"], told["before_ms"], told["until_ms"])
