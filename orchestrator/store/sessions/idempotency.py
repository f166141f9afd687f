"""Idempotency keys of requests whose work is done elsewhere: what they were, and what they were answered."""

from enum import StrEnum
from typing import Final

from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.store.contents import ANSWER
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_CLAIM: Final = Script("sessions/claim_key")


class KeyClaimVerdict(StrEnum):
    """What `claim` decided."""

    OK = "ok"
    """The request has not been answered: its work is to be done."""
    REPLAYED = "replayed"
    REUSED = "reused"
    """The key came with another request."""


class IdempotencyStore(TenantStore):
    """Remembers requests by their keys."""

    async def claim(self, tenant_id: str, user_id: str, key: str, digest: str) -> tuple[KeyClaimVerdict, bytes]:
        """Bind a key to a request; returns also what the request was answered (REPLAYED)."""
        record = self.keys.idempotency(tenant_id, user_id, key)
        reply = await self.run(_CLAIM, tenant_id, digest, IDEMPOTENCY_SECONDS, keys=[record])
        answer = self.contents.open(tenant_id, ANSWER, reply[1]) if len(reply) > 1 else b""
        return KeyClaimVerdict(reply[0].decode()), answer

    async def keep(self, tenant_id: str, user_id: str, key: str, answer: bytes) -> None:
        """Keep what the request was answered."""
        record = self.keys.idempotency(tenant_id, user_id, key)
        kept = self.contents.seal(tenant_id, ANSWER, answer)
        await self.redis.gather([("HSET", record, "answer", kept), ("EXPIRE", record, IDEMPOTENCY_SECONDS)])
