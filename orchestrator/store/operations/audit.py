"""The audit trail."""

from typing import Final

from attrs import frozen

from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis

_ENTRIES_KEPT: Final = 100_000


@frozen
class AuditTrail:
    """Who did what, when, from where, and how it ended."""

    redis: Redis
    keys: Keys

    async def done(self, ctx: RequestContext, action: str, detail: str, *, tenant_id: str | None = None) -> None:
        """Append what a request has done.

        Args:
            ctx: the request.
            action: what was done, such as `session.close`.
            detail: one sentence without content and secrets.
            tenant_id: the tenant that it concerns; None: the caller's.
        """
        await self.record(
            action,
            outcome="ok",
            tenant_id=ctx.tenant_id if tenant_id is None else tenant_id,
            user_id=ctx.principal.user_id,
            remote_address=ctx.remote_address,
            correlation_id=ctx.correlation_id,
            detail=detail,
        )

    async def record(
        self,
        action: str,
        *,
        outcome: str,
        tenant_id: str = "",
        user_id: str = "",
        remote_address: str = "",
        correlation_id: str = "",
        detail: str = "",
    ) -> None:
        """Append an entry.

        Args:
            action: what was done or tried, such as `session.close` or `auth.token`.
            outcome: `ok` or `refused`.
            tenant_id: of the tenant that it concerns.
            user_id: who did it.
            remote_address: from where.
            correlation_id: of the request.
            detail: one sentence without content and secrets.
        """
        await self.redis.xadd(
            self.keys.audit,
            {
                "action": action,
                "outcome": outcome,
                "tenant_id": tenant_id,
                "user_id": user_id,
                "remote_address": remote_address,
                "correlation_id": correlation_id,
                "detail": detail,
                "at": to_timestamp(now_ms()),
            },
            maxlen=_ENTRIES_KEPT,
            approximate=True,
        )
