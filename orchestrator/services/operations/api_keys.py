"""API keys: made, listed, rotated, revoked; every process knows all in force, so that a look costs no round trip.

They are read when the process starts and whenever a change is announced, and every two seconds besides: an announcement
that is lost delays a revocation by no more. While Redis is away, what is known goes on to count; no key can be revoked
then.
"""

import time
from collections.abc import AsyncIterable, Iterable
from hashlib import sha256
from math import inf
from secrets import token_hex, token_urlsafe
from typing import Final

import trio
from attrs import evolve

from orchestrator.domain.api_keys import PREFIX, ApiKey, ApiKeyIndex
from orchestrator.errors import NotFound, Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.api_keys import ApiKeyCreate, ApiKeyCreated, ApiKeyRecord, ApiKeyRotate, Scope
from orchestrator.services.shared.named_pages import page_by_name
from orchestrator.services.shared.revocations import Revocations
from orchestrator.store.credentials.api_keys import MOST_KEYS, ApiKeyStore, KeyChange, StoredApiKey
from orchestrator.store.operations.audit import AuditTrail

RELOAD_SECONDS: Final = 2.0
"""Between two looks at the keys, whether or not a change was announced."""
USE_SECONDS: Final = 60.0
"""Between two notes that a key is in use."""


class ApiKeyService:
    """Makes API keys, and knows which are in force.

    Args:
        store: where they are kept.
        audit: where it is written down who did what with which key.
        revocations: are asked what is good no more; sockets and streams of a revoked key end by them.
    """

    def __init__(self, store: ApiKeyStore, audit: AuditTrail, revocations: Revocations) -> None:
        self._store = store
        self._audit = audit
        self._revocations = revocations
        self._index = ApiKeyIndex()
        self._uses: dict[str, int] = {}
        self._noted = -inf
        revocations.consider(lambda principal: not self._index.holds(principal))

    def find(self, presented: str) -> ApiKey | None:
        """Return the key that was presented, where it is in force; takes note of the use."""
        key = self._index.find(presented, time.time())
        if key is not None and key.key_id is not None:
            self._uses[key.key_id] = now_ms()
        return key

    async def create(self, ctx: RequestContext, request: ApiKeyCreate) -> ApiKeyCreated:
        """Make a key.

        Raises:
            Unprocessable: a key for figures can't be of one tenant; or there are as many keys as there may be.
            StoreUnavailable: Redis is away.
        """
        if request.tenant_id is not None and Scope.METRICS in request.scopes:
            raise _fault("$.data.tenant_id", "can't be given for the scope 'metrics': figures are of all tenants")
        key, stored = _new_key(ctx, request.name, request.scopes, request.tenant_id, request.ttl_seconds)
        await self._changed(await self._store.add(stored), stored.key_id)
        await self._done(ctx, "key.create", stored, f"scopes {', '.join(sorted(stored.scopes))}")
        return ApiKeyCreated(key, _record(stored))

    async def list(self, *, cursor: str | None, limit: int) -> Page[ApiKeyRecord]:
        """List keys by name."""
        records = {f"{key.name} {key.key_id}": _record(key) for key in await self._store.load()}
        return page_by_name(records, cursor=cursor, limit=limit)

    async def rotate(self, ctx: RequestContext, key_id: str, request: ApiKeyRotate) -> ApiKeyCreated:
        """Make a key in place of another one, which stays good for a while.

        Raises:
            NotFound: there is no such key, or it has expired.
            Unprocessable: there are as many keys as there may be.
            StoreUnavailable: Redis is away.
        """
        old = await self._get(key_id)
        ends = min(now_ms() + round(request.grace_seconds * 1000), old.expires_ms or 2**53)
        key, stored = _new_key(ctx, old.name, old.scopes, old.tenant_id, request.ttl_seconds, replaces=key_id)
        await self._changed(await self._store.replace(evolve(old, expires_ms=ends), stored), key_id)
        await self._done(ctx, "key.rotate", old, f"by {stored.key_id}; the old key is good until {to_timestamp(ends)}")
        return ApiKeyCreated(key, _record(stored))

    async def revoke(self, ctx: RequestContext, key_id: str) -> ApiKeyRecord:
        """Take a key out of force.

        Raises:
            NotFound: there is no such key.
            StoreUnavailable: Redis is away.
        """
        key = await self._get(key_id, expired=True)
        await self._changed(await self._store.remove(key_id), key_id)
        await self._done(ctx, "key.revoke", key, "at once")
        return _record(key)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep up with the keys, for ever; `started` as soon as all are known.

        Raises:
            StoreUnavailable: they are not known; what was known before goes on to count.
        """
        async with self._store.follow() as announcements, trio.open_nursery() as nursery:
            await self._reload()
            task_status.started()
            nursery.start_soon(self._follow, announcements)
            while True:
                await trio.sleep(RELOAD_SECONDS)
                await self._reload()
                await self._note_uses()

    async def _follow(self, announcements: AsyncIterable[bytes | None]) -> None:
        async for _ in announcements:
            await self._reload()

    async def _reload(self) -> None:
        self._index.replace(_in_force(await self._store.load()))
        self._revocations.tell()

    async def _get(self, key_id: str, *, expired: bool = False) -> StoredApiKey:
        for key in await self._store.load():
            if key.key_id == key_id and (expired or not _is_over(key)):
                return key
        raise NotFound(f"There is no API key {key_id}.")

    async def _changed(self, change: KeyChange, key_id: str) -> None:
        if change is KeyChange.UNKNOWN:
            raise NotFound(f"There is no API key {key_id}.")
        if change is KeyChange.FULL:
            raise Unprocessable(f"There are {MOST_KEYS} API keys already; revoke some.")
        await self._reload()

    async def _done(self, ctx: RequestContext, action: str, key: StoredApiKey, words: str) -> None:
        await self._audit.done(ctx, action, f"key {key.key_id} of '{key.name}': {words}", tenant_id=key.tenant_id or "")

    async def _note_uses(self) -> None:
        """Write down when keys were used last, once a minute."""
        if self._uses and time.monotonic() >= self._noted + USE_SECONDS:
            uses, self._uses = self._uses, {}
            self._noted = time.monotonic()
            known = {key_id: moment for key_id, moment in uses.items() if key_id in self._index}
            if known:
                await self._store.note_uses(known)


def _new_key(
    ctx: RequestContext,
    name: str,
    scopes: Iterable[Scope],
    tenant_id: str | None,
    ttl_seconds: float | None,
    replaces: str | None = None,
) -> tuple[str, StoredApiKey]:
    key_id, now = token_hex(8), now_ms()
    key = f"{PREFIX}{key_id}_{token_urlsafe(32)}"
    return key, StoredApiKey(
        key_id,
        name,
        tuple(sorted(set(scopes))),
        sha256(key.encode()).hexdigest(),
        now,
        ctx.principal.name,
        tenant_id,
        None if ttl_seconds is None else now + round(ttl_seconds * 1000),
        replaces,
    )


def _is_over(key: StoredApiKey) -> bool:
    return key.expires_ms is not None and key.expires_ms <= now_ms()


def _in_force(keys: Iterable[StoredApiKey]) -> Iterable[ApiKey]:
    for key in keys:
        if not _is_over(key):
            expires_at = inf if key.expires_ms is None else key.expires_ms / 1000
            digest = bytes.fromhex(key.digest)
            yield ApiKey(key.name, frozenset(key.scopes), digest, key.key_id, key.tenant_id, expires_at)


def _record(key: StoredApiKey) -> ApiKeyRecord:
    return ApiKeyRecord(
        key.key_id,
        key.name,
        list(key.scopes),
        to_timestamp(key.created_ms),
        key.created_by,
        key.tenant_id,
        None if key.expires_ms is None else to_timestamp(key.expires_ms),
        None if key.used_ms is None else to_timestamp(key.used_ms),
        key.replaces,
    )


def _fault(path: str, message: str) -> Unprocessable:
    return Unprocessable(f"{path} {message}.", details=[FieldFault(path, message)])
