"""The API keys of services and operators: those of the settings, and those that are kept in Redis."""

from collections.abc import Callable, Iterable
from hmac import compare_digest

from orchestrator.domain.api_keys import PREFIX, ApiKey, digest_of
from orchestrator.errors import Unauthorized
from orchestrator.models.operations.api_keys import Scope

__all__ = ["ApiKeys", "Scope", "no_stored_key"]


def no_stored_key(_: str) -> ApiKey | None:
    """Know no key beyond those of the settings."""
    return None


class ApiKeys:
    """All keys that are in force; several of one name at once make a rotation without a gap.

    Args:
        entries: `name:scope:sha256` each, as the setting `api_keys` has them.
        stored: finds a key among those that are kept in Redis.
    """

    def __init__(self, entries: Iterable[str], stored: Callable[[str], ApiKey | None] = no_stored_key) -> None:
        self._stored = stored
        self._keys = []
        for entry in entries:
            name, scope, digest = entry.split(":")
            self._keys.append(ApiKey(name, frozenset({Scope(scope)}), bytes.fromhex(digest)))

    def find(self, presented: str) -> ApiKey:
        """Return the key that was presented; all are compared, so the time taken tells nothing.

        Raises:
            Unauthorized: there is no such key.
        """
        digest = digest_of(presented)
        found = [key for key in self._keys if compare_digest(key.digest, digest)]
        if found:
            return found[0]
        stored = self._stored(presented) if presented.startswith(PREFIX) else None
        if stored is None:
            raise Unauthorized("The API key is not known.")
        return stored
