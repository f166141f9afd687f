"""Fair shares between tenants: weighted fair queueing by virtual time.

Every tenant with work has a virtual time: what it was given so far, divided by its weight. The tenant with the smallest
one is served next, and what is served advances it. A tenant that comes back after a pause starts at the clock (the
largest virtual time that was ever served from), so that it can't save up, and one that leaves in debt keeps its debt.

Tasks that run long would defeat that: a tenant that is alone takes all slots, and the next one waits until a task ends.
So what a tenant has in hand is bounded by what is free (`room`). The bound moves: alone, a tenant may have nearly all
slots; the more tenants have work, the less is free, and the less each of them may have, down to equal shares.
"""

import heapq
import math
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


def has_its_share(processes: Iterable[tuple[int, int]], share: float, weight: float = 1.0) -> bool:
    """Tell whether every free slot is kept for other tenants, because one has its share wherever there are any.

    Args:
        processes: of each process the tenant's tasks in hand, and its free slots.
        share: as of `room`.
        weight: of the tenant.
    """
    with_slots = [(in_hand, free) for in_hand, free in processes if free > 0]
    return bool(with_slots) and all(room(in_hand, free, share, weight) == 0 for in_hand, free in with_slots)


def room(in_hand: int, free: int, share: float, weight: float = 1.0) -> int:
    """Return how many more tasks a tenant may have in hand.

    Afterwards it has at most `share / (1 - share) * weight` tasks for each slot that is still free. One that has
    nothing in hand may always have one.

    Args:
        in_hand: its tasks that run.
        free: slots that no tenant has.
        share: what part of all slots a tenant of weight 1 may have while no other tenant has any, 0 < share <= 1.
        weight: of the tenant.

    Returns:
        At most `free`, and never less than 0.
    """
    if free <= 0:
        return 0
    if share >= 1:
        return free
    # The largest k with in_hand + k <= each * (free - k).
    each = share / (1 - share) * weight
    most = math.floor((each * free - in_hand) / (1 + each) + 1e-9)
    return min(free, max(most, 0 if in_hand else 1))
