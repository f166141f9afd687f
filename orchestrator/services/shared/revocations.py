"""Revoked tokens: every process knows all that are in force, so that a look costs no round trip.

They are read when the process starts, follow by pub/sub within milliseconds, and are read again whenever messages may
have been lost. While Redis is away, what is known goes on to count. A revocation can't be made then, so none is missed;
and what a token could newly do needs Redis too, which is how new work fails closed.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from orchestrator.domain.revocations import RevocationIndex
from orchestrator.errors import Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.operations.revocation import Revocation, TokenRevoke, TokenRevoked
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.revocations import RevocationStore

KEYS_SECONDS: Final = 30.0
"""Between two looks at the keys that tokens are signed with."""


class Revocations:
    """Revokes tokens, and knows which are revoked.

    Args:
        store: where they are kept.
        audit: where it is written down who revoked.
    """

    def __init__(self, store: RevocationStore, audit: AuditTrail) -> None:
        self._store = store
        self._audit = audit
        self._index = RevocationIndex()
        self._watchers: list[Callable[[], None]] = []
        self._others: list[Callable[[Principal], bool]] = []
        self.renew_keys: Callable[[], Awaitable[None]] | None = None
        """Fetches the keys that tokens are signed with, where they are too old; None until the process serves."""

    def covers(self, principal: Principal) -> bool:
        """Tell whether the token or the key that `principal` came with is revoked."""
        return self._index.covers(principal) or any(withdrawn(principal) for withdrawn in self._others)

    def consider(self, withdrawn: Callable[[Principal], bool]) -> None:
        """Take those for revoked, too, of whom `withdrawn` says so; it calls `tell` when its answers change."""
        self._others.append(withdrawn)

    def watch(self, told: Callable[[], None]) -> None:
        """Have `told` called after every change."""
        self._watchers.append(told)

    async def revoke(self, ctx: RequestContext, request: TokenRevoke) -> TokenRevoked:
        """Revoke one token, or all of a user or a tenant that were issued until now.

        Raises:
            Unprocessable: it names nothing, or a token and something else.
            StoreUnavailable: Redis is away.
        """
        jti, user_id, tenant_id = request.jti or "", request.user_id or "", request.tenant_id or ""
        if bool(jti) == bool(user_id or tenant_id):
            fault = FieldFault("$.data", "must name either `jti`, or `user_id`, `tenant_id` or both")
            raise Unprocessable(f"The revocation {fault.message}.", details=[fault])
        revocation = await self._store.add(jti=jti, user_id=user_id, tenant_id=tenant_id)
        self._take(revocation)
        await self._audit.done(
            ctx,
            "token.revoke",
            f"jti '{jti}'" if jti else f"all of user '{user_id}'" if user_id else "all of the tenant",
            tenant_id=tenant_id,
        )
        return TokenRevoked(to_timestamp(revocation.before_ms), to_timestamp(revocation.until_ms))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with what is revoked elsewhere, for ever; `started` as soon as all is known.

        Raises:
            StoreUnavailable: it is not known; what was known before goes on to count.
        """
        async with self._store.follow() as announcements:
            self._index.replace(await self._store.load())
            self.tell()
            task_status.started()
            async for revocation in announcements:
                if revocation is not None:
                    self._take(revocation)
                else:
                    self._index.replace(await self._store.load())
                    self.tell()

    async def watch_keys(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have what was opened with a key that was withdrawn since end, where no request looks at it; for ever."""
        task_status.started()
        while True:
            await trio.sleep(KEYS_SECONDS)
            if self.renew_keys is not None:
                await self.renew_keys()
                self.tell()

    def tell(self) -> None:
        """Call all who watch."""
        for told in self._watchers:
            told()

    def _take(self, revocation: Revocation) -> None:
        self._index.add(revocation)
        self.tell()
