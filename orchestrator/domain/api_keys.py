"""What an API key opens, and finding one among those in force."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from math import inf
from typing import Final

from attrs import define, field, frozen

from orchestrator.models.common.ids import LONGEST_ID
from orchestrator.models.common.principal import Principal, Role
from orchestrator.models.operations.api_keys import Scope

PREFIX: Final = "nok_"
"""Of the keys that are kept in Redis; scanners for leaked secrets find them by it."""
KEY_OWNERS: Final = "api-key."
"""What belongs to API keys belongs to names that begin so; the `sub` of no token may."""
_DIGEST_CHARS: Final = 16
_OPENS: Final = {
    Scope.INTERNAL: frozenset({Scope.INTERNAL}),
    Scope.ADMIN: frozenset({Scope.ADMIN, Scope.INTERNAL, Scope.METRICS}),
    Scope.METRICS: frozenset({Scope.METRICS}),
}
_GIVES: Final = {
    Scope.ADMIN: (Role.ADMIN, frozenset({"*"})),
    Scope.INTERNAL: (Role.SERVICE, frozenset({"*"})),
    Scope.METRICS: (Role.MONITOR, frozenset({"metrics:read"})),
}
"""What the scopes give, the widest first."""


@frozen
class ApiKey:
    """An API key without the key."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes
    """SHA-256 of the key."""
    key_id: str | None = None
    """None: it is one of the settings."""
    tenant_id: str | None = None
    """The only tenant that it is good for; None: all."""
    expires_at: float = inf
    """Seconds since the Unix epoch."""

    def opens(self, scope: Scope) -> bool:
        """Tell whether the key is good for routes of `scope`; an admin's is good for all."""
        return any(scope in _OPENS[own] for own in self.scopes)

    def principal(self, tenant_id: str) -> Principal:
        """Return who the key's holder is in a tenant."""
        role, permissions = next(given for scope, given in _GIVES.items() if scope in self.scopes)
        return Principal(
            tenant_id,
            owner_of_key(self.name),
            role,
            permissions,
            self.expires_at,
            key_id=self.key_id,
            key_name=self.name,
        )


def owner_of_key(name: str) -> str:
    """Return under which name belongs to an API key what it makes: an identifier that no user has.

    Args:
        name: the key's.
    """
    owner = KEY_OWNERS + name
    if len(owner) <= LONGEST_ID:
        return owner
    return f"{owner[: LONGEST_ID - _DIGEST_CHARS - 1]}.{sha256(name.encode()).hexdigest()[:_DIGEST_CHARS]}"


def digest_of(presented: str) -> bytes:
    """Return what is kept of a key; it is random enough that nothing slower than SHA-256 is needed."""
    return sha256(presented.encode("utf-8", "surrogatepass")).digest()


def key_id_of(presented: str) -> str:
    """Return the id that a key carries, or nothing where it is no key of this kind."""
    return presented.removeprefix(PREFIX).partition("_")[0] if presented.startswith(PREFIX) else ""


@define(eq=False)
class ApiKeyIndex:
    """The keys in force, by id."""

    _keys: Mapping[str, ApiKey] = field(factory=dict, init=False)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Take in all that are in force."""
        self._keys = {key.key_id: key for key in keys if key.key_id is not None}

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def find(self, presented: str, now: float) -> ApiKey | None:
        """Return the key that was presented; its secret is compared in constant time.

        Args:
            presented: the whole key.
            now: seconds since the Unix epoch.
        """
        key = self._keys.get(key_id_of(presented))
        good = key is not None and compare_digest(key.digest, digest_of(presented)) and now < key.expires_at
        return key if good else None

    def holds(self, principal: Principal) -> bool:
        """Tell whether the key by which a principal came is still in force; true of those who came by no such key."""
        return principal.key_id is None or principal.key_id in self._keys
