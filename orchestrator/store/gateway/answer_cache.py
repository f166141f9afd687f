"""Answers of Query and Embedding that may be given again, and the leases of those that are on their way."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from attrs import field, frozen

from orchestrator.models.gateway.usage import UsageKind
from orchestrator.store.contents import CACHED
from orchestrator.store.records import readable
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

LEASE_MS: Final = 6000
"""After so long another process takes the lead where the one that has it is gone."""
_SEEK: Final = Script("gateway/seek_answers")
_HOLD: Final = Script("gateway/hold_answers")
_KEEP: Final = Script("gateway/keep_answers")


@frozen
class Elsewhere:
    """Another process asks for the answer; its lease ends in `wait_ms`, if it does not renew it."""

    wait_ms: int


@frozen
class Ours:
    """The answer is not there: it is to be asked for here."""


CacheLookup = bytes | Ours | Elsewhere


@frozen
class AnswerCache(TenantStore):
    """Looks answers up and keeps them.

    Args:
        most_bytes: what the answers of one tenant and kind may take.
    """

    most_bytes: int = field(kw_only=True)

    async def seek(self, tenant_id: str, kind: UsageKind, digests: Sequence[str], holder: str) -> list[CacheLookup]:
        """Return each answer; or which holder asks for it, `holder` where none does yet."""
        keys = [key for digest in digests for key in self._pair(tenant_id, kind, digest)]
        found = await self.run(_SEEK, tenant_id, holder, LEASE_MS, keys=keys)
        return [self._found(tenant_id, one) for one in found]

    async def hold(self, tenant_id: str, kind: UsageKind, digests: Sequence[str], holder: str) -> None:
        """Renew the leases of answers that `holder` asks for."""
        keys = [self._pair(tenant_id, kind, digest)[1] for digest in digests]
        await self.run(_HOLD, tenant_id, holder, LEASE_MS, keys=keys)

    async def keep(
        self, tenant_id: str, kind: UsageKind, answers: Sequence[tuple[str, bytes | None]], holder: str, ttl_ms: int
    ) -> None:
        """Keep answers by their digests, end their leases, and wake who waits; None: there is nothing to keep."""
        index = f"{self.keys.answers(tenant_id)}:{kind}"
        pairs = [key for digest, _ in answers for key in self._pair(tenant_id, kind, digest)]
        await self.run(
            _KEEP,
            tenant_id,
            holder,
            max(1, ttl_ms),
            self.most_bytes,
            self.keys.answer_channel,
            *(self.contents.seal(tenant_id, CACHED, answer or b"") for _, answer in answers),
            keys=[index, f"{index}:size", *pairs],
        )

    def follow(self) -> AbstractAsyncContextManager[Announcements[bytes]]:
        """Follow the names of answers that are there now, or whose leases ended without one."""
        return follow_channel(self.redis, self.keys.answer_channel, bytes)

    def name(self, tenant_id: str, kind: UsageKind, digest: str) -> bytes:
        """Return what is published where an answer was kept, or was not."""
        return self.keys.answer(tenant_id, kind, digest).encode()

    def _pair(self, tenant_id: str, kind: UsageKind, digest: str) -> tuple[str, str]:
        key = self.keys.answer(tenant_id, kind, digest)
        return key, f"{key}:lease"

    def _found(self, tenant_id: str, reply: bytes | int | list[int]) -> CacheLookup:
        if isinstance(reply, bytes):
            # One that can't be opened is logged, and another one takes its place.
            return next(iter(readable(partial(self.contents.open, tenant_id, CACHED), [reply])), Ours())
        return Ours() if isinstance(reply, int) else Elsewhere(max(1, reply[0]))
