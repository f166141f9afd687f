"""The keys of services and operators: named, scoped, kept as hashes."""

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from attrs import frozen

from orchestrator.errors import Unauthorized
from orchestrator.models.common.principal import Principal, Role


class Scope(StrEnum):
    """What an API key opens."""

    INTERNAL = "internal"
    ADMIN = "admin"
    METRICS = "metrics"


_OPENS: Final = {
    Scope.INTERNAL: frozenset({Scope.INTERNAL}),
    Scope.ADMIN: frozenset({Scope.ADMIN, Scope.INTERNAL, Scope.METRICS}),
    Scope.METRICS: frozenset({Scope.METRICS}),
}
_GIVES: Final = {
    Scope.INTERNAL: (Role.SERVICE, frozenset({"*"})),
    Scope.ADMIN: (Role.ADMIN, frozenset({"*"})),
    Scope.METRICS: (Role.MONITOR, frozenset({"metrics:read"})),
}


@frozen
class ApiKey:
    """An API key without the key."""

    name: str
    scope: Scope
    digest: bytes

    def opens(self, scope: Scope) -> bool:
        """Tell whether the key is good for routes of `scope`; an admin's is good for all."""
        return scope in _OPENS[self.scope]

    def principal(self, tenant_id: str) -> Principal:
        """Return who the key's holder is in a tenant."""
        role, permissions = _GIVES[self.scope]
        return Principal(tenant_id, self.name, role, permissions, float("inf"))


class ApiKeys:
    """All keys that are in force; several of one name at once make a rotation without a gap.

    Args:
        entries: `name:scope:sha256` each, as the setting `api_keys` has them.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._keys = []
        for entry in entries:
            name, scope, digest = entry.split(":")
            self._keys.append(ApiKey(name, Scope(scope), bytes.fromhex(digest)))

    def find(self, presented: str) -> ApiKey:
        """Return the key that was presented; all are compared, so the time taken tells nothing.

        Raises:
            Unauthorized: there is no such key.
        """
        digest = sha256(presented.encode("utf-8", "surrogatepass")).digest()
        found = [key for key in self._keys if compare_digest(key.digest, digest)]
        if not found:
            raise Unauthorized("The API key is not known.")
        return found[0]
