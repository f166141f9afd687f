"""Fair shares between tenants: weighted fair queueing by virtual time.

Every tenant with work has a virtual time: what it was given so far, divided by its weight. The tenant with the smallest
one is served next, and what is served advances it. A tenant that comes back after a pause starts at the clock (the
largest virtual time that was ever served from), so that it can't save up, and one that leaves in debt keeps its debt.
"""

import heapq
from collections.abc import Iterable

from attrs import frozen


@frozen
class Contender:
    """A tenant whose turn it may be."""

    tenant_id: str
    virtual_time: float
    weight: float = 1.0


def distribute(contenders: Iterable[Contender], slots: int) -> dict[str, int]:
    """Divide free slots among tenants.

    Slot by slot the tenant with the smallest virtual time is served, as if each task cost 1; ties go by name.

    Args:
        contenders: tenants with work; the amount is not known here.
        slots: free slots.

    Returns:
        How many tasks to claim of each tenant that gets any; together exactly `slots`, if there is any contender.
    """
    heap = [(one.virtual_time, one.tenant_id, one.weight) for one in contenders]
    heapq.heapify(heap)
    shares: dict[str, int] = {}
    for _ in range(slots if heap else 0):
        virtual_time, tenant_id, weight = heap[0]
        shares[tenant_id] = shares.get(tenant_id, 0) + 1
        heapq.heapreplace(heap, (virtual_time + 1 / weight, tenant_id, weight))
    return shares
