"""Requests that are repeated with an idempotency key: the work is done once, and answered as it was."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from attrs import frozen

from orchestrator.codec import decode_kept, encode, unstructure
from orchestrator.models.common.principal import RequestContext
from orchestrator.services.shared.views import key_reused
from orchestrator.store.sessions.idempotency import IdempotencyStore, KeyClaimVerdict

T = TypeVar("T")


def without_unsaid(request: object, added: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a request that make it the same as another.

    Args:
        request: a model.
        added: fields that earlier versions did not know. Where they say nothing, the request is what it was then, so
            one that is repeated after an upgrade is still the same.
    """
    plain: dict[str, Any] = unstructure(request)
    return {name: value for name, value in plain.items() if value is not None or name not in added}


@frozen
class Idempotency:
    """Answers repeated requests whose work other services do."""

    store: IdempotencyStore

    async def once(
        self, ctx: RequestContext, name: str, request: object, kind: type[T], work: Callable[[], Awaitable[T]]
    ) -> tuple[T, bool]:
        """Do the work of a request, unless one with its idempotency key has been answered.

        Two at once both do it: `work` passes a key on by which the service that does it does it once.

        Args:
            ctx: the request.
            name: of its route.
            request: its body.
            kind: what `work` returns.
            work: does it.

        Returns:
            What it gave, and whether that was an earlier request.

        Raises:
            IdempotencyKeyReused: another request came with the same key.
        """
        key = ctx.idempotency_key or ctx.message_id
        if key is None:
            return await work(), False
        tenant_id, user_id = ctx.tenant_id, ctx.principal.user_id
        digest = hashlib.sha256(name.encode() + encode(request)).hexdigest()
        verdict, answer = await self.store.claim(tenant_id, user_id, key, digest)
        if verdict is KeyClaimVerdict.REUSED:
            raise key_reused()
        if verdict is KeyClaimVerdict.REPLAYED:
            return decode_kept(answer, kind), True
        done = await work()
        await self.store.keep(tenant_id, user_id, key, encode(done))
        return done, False
