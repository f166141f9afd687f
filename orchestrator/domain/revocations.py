"""Which tokens are revoked, decided from what is known in this process."""

from collections.abc import Iterable

from attrs import define, field

from orchestrator.models.common.principal import Principal
from orchestrator.models.operations.revocation import Revocation


@define(eq=False)
class RevocationIndex:
    """All revocations in force, by what they name: a look is four lookups, or none where nothing is revoked."""

    _before: dict[tuple[str, str, str], int] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._before)

    def add(self, revocation: Revocation) -> None:
        """Take one in; of two that name the same, the later one counts."""
        named = (revocation.jti, revocation.user_id, revocation.tenant_id)
        self._before[named] = max(revocation.before_ms, self._before.get(named, 0))

    def replace(self, revocations: Iterable[Revocation]) -> None:
        """Take in all that are in force; those that are not among them have expired."""
        self._before.clear()
        for revocation in revocations:
            self.add(revocation)

    def covers(self, principal: Principal) -> bool:
        """Tell whether the token that `principal` came with is revoked.

        A token without moment of issue counts as issued before all revocations of its user and tenant.
        """
        before = self._before
        if not before:
            return False
        if principal.token_id is not None and (principal.token_id, "", "") in before:
            return True
        user_id, tenant_id = principal.user_id, principal.tenant_id
        of_these = (("", user_id, ""), ("", user_id, tenant_id), ("", "", tenant_id))
        latest = max(before.get(named, 0) for named in of_these)
        return principal.issued_at * 1000 < latest
