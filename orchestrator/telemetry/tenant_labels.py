"""Which tenants have a label of their own: the busiest, a bounded number; the others share one.

A tenant that becomes busier than the least busy one with a label takes its place. What was counted under `other` stays
there, so counters never run backwards: a tenant's own series begins when it gets its label.
"""

from collections.abc import Callable
from typing import Final

OTHER: Final = "other"
_WAITING_FOR_EACH: Final = 4
"""Tenants without a label whose use is counted, for each label there is."""
_FORGET_AFTER: Final = 100_000
"""After so many uses all counts are halved, so that those of today outweigh those of last week."""


class TenantLabels:
    """Gives labels.

    Args:
        limit: how many tenants have one of their own.
        retire: called with a tenant that loses its label, to remove its series.
    """

    def __init__(self, limit: int, retire: Callable[[str], None]) -> None:
        self._limit = limit
        self._retire = retire
        self._labelled: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, int]] = {}
        """Uses, and how many of them were taken over from another tenant."""
        self._bar = 0
        self._uses = 0

    def of(self, tenant_id: str) -> str:
        """Count a use, and return the label to count it under."""
        if tenant_id == OTHER:
            return OTHER
        self._uses += 1
        if self._uses >= _FORGET_AFTER:
            self._forget()
        if tenant_id in self._labelled:
            self._labelled[tenant_id] += 1
            return tenant_id
        if len(self._labelled) < self._limit:
            self._labelled[tenant_id] = 1
            return tenant_id
        return tenant_id if self._takes_a_place(tenant_id, self._wait(tenant_id)) else OTHER

    def _wait(self, tenant_id: str) -> int:
        """Count a tenant without a label; returns how often it was used for certain (Space-Saving).

        Where too many wait, a new one takes over the least count, as it may have been that often before; a flood of
        tenants that come once each thus never looks like a busy one, since what was taken over does not count here.
        """
        waiting = self._waiting
        count, inherited = waiting.pop(tenant_id, (0, 0))
        if count == 0 and len(waiting) >= self._limit * _WAITING_FOR_EACH:
            count, _ = waiting.pop(min(waiting, key=waiting.__getitem__))
            inherited = count
        waiting[tenant_id] = count + 1, inherited
        return count + 1 - inherited

    def _takes_a_place(self, tenant_id: str, uses: int) -> bool:
        # The bar only rises until the next look, so most uses cost no search for the least busy.
        if uses <= self._bar:
            return False
        least = min(self._labelled, key=self._labelled.__getitem__)
        self._bar = 2 * self._labelled[least]
        if uses <= self._bar:
            return False
        del self._waiting[tenant_id]
        self._waiting[least] = self._labelled.pop(least), 0
        self._labelled[tenant_id] = uses
        self._retire(least)
        return True

    def _forget(self) -> None:
        self._uses = self._bar = 0
        self._labelled = {tenant_id: uses // 2 for tenant_id, uses in self._labelled.items()}
        self._waiting = {
            tenant_id: (count // 2, inherited // 2) for tenant_id, (count, inherited) in self._waiting.items()
        }
