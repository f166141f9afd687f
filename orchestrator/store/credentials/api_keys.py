"""API keys in Redis: their records, with a hash in place of the key, and when each was used last."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from hashlib import sha256
from typing import Final

import orjson
from attrs import evolve, frozen

from orchestrator.models.operations.api_keys import Scope
from orchestrator.store.keys import Keys
from orchestrator.store.redis.announcements import Announcements, follow_channel
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

MOST_KEYS: Final = 1000
_FORGOTTEN_AFTER_MS: Final = 30 * 86_400_000
"""For so long a key that has expired is still listed."""
_CHANGE: Final = Script("credentials/change_api_keys")


class KeyChange(StrEnum):
    """How a change of keys ended."""

    DONE = "ok"
    UNKNOWN = "unknown"
    FULL = "full"


@frozen
class StoredApiKey:
    """The record of a key."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    """SHA-256 of the key, in hexadecimal digits."""
    created_ms: int
    created_by: str
    tenant_id: str | None = None
    expires_ms: int | None = None
    replaces: str | None = None
    used_ms: int | None = None
    """When it was used last; kept apart from the rest."""


@frozen
class ApiKeyStore:
    """Keeps API keys.

    Args:
        redis: the shared connection.
        keys: the names of keys.
    """

    redis: Redis
    keys: Keys

    async def add(self, key: StoredApiKey) -> KeyChange:
        """Put a key in."""
        return await self._change("", None, key)

    async def replace(self, old: StoredApiKey, new: StoredApiKey) -> KeyChange:
        """Put a key in beside one whose record changes with it."""
        return await self._change(old.key_id, old, new)

    async def remove(self, key_id: str) -> KeyChange:
        """Take a key out."""
        return await self._change(key_id, None, None)

    @on_shared_keys
    async def _change(self, old_id: str, old: StoredApiKey | None, new: StoredApiKey | None) -> KeyChange:
        args = [
            self.keys.api_key_channel,
            MOST_KEYS,
            old_id,
            b"" if old is None else _write(old),
            "" if new is None else new.key_id,
            b"" if new is None else _write(new),
            _FORGOTTEN_AFTER_MS,
        ]
        answer: bytes = await _CHANGE(self.redis, keys=[self.keys.api_keys, self.keys.api_key_uses], args=args)
        return KeyChange(answer.decode())

    @on_shared_keys
    async def load(self) -> list[StoredApiKey]:
        """Return all keys, those that have expired among them."""
        records = await self.redis.hgetall(self.keys.api_keys)
        uses = await self.redis.hgetall(self.keys.api_key_uses)
        found = self.redis.unreadable.read_all(self.keys.api_keys, _read, list(records.values()))
        return [evolve(key, used_ms=_whole(uses.get(key.key_id.encode()))) for key in found]

    @on_shared_keys
    async def note_uses(self, uses: Mapping[str, int]) -> None:
        """Write down when keys were used last (ms)."""
        await self.redis.hset(self.keys.api_key_uses, mapping=dict(uses))

    def follow(self) -> AbstractAsyncContextManager[Announcements[bytes]]:
        """Follow that keys have changed."""
        return follow_channel(self.redis, self.keys.api_key_channel, bytes)


def _whole(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None


def _write(key: StoredApiKey) -> bytes:
    return orjson.dumps(
        {
            "key_id": key.key_id,
            "name": key.name,
            "scopes": key.scopes,
            "digest": key.digest,
            "created_ms": key.created_ms,
            "created_by": key.created_by,
            "tenant_id": key.tenant_id,
            "expires_ms": key.expires_ms,
            "replaces": key.replaces,
        }
    )


def _read(raw: bytes) -> StoredApiKey:
    """Read a record; fields of later versions are passed over.

    Raises:
        ValueError, LookupError, TypeError: it is none.
    """
    told = orjson.loads(raw)
    key = StoredApiKey(
        told["key_id"],
        told["name"],
        tuple(Scope(scope) for scope in told["scopes"]),
        told["digest"],
        told["created_ms"],
        told["created_by"],
        told["tenant_id"],
        told["expires_ms"],
        told.get("replaces"),
    )
    texts = (key.key_id, key.name, key.created_by, key.tenant_id or "", key.replaces or "")
    moments = (key.created_ms, 0 if key.expires_ms is None else key.expires_ms)
    if not all(isinstance(one, str) for one in texts) or not all(type(one) is int for one in moments):
        raise TypeError("no record of a key")
    if len(bytes.fromhex(key.digest)) != sha256().digest_size or not key.scopes:
        raise ValueError("no hash of a key")
    return key
