"""The load of the whole service, put together from what its processes and queues say."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve

from orchestrator.models.operations.load import CalleeBreaker, Load, Node, NodeLoad, Waits
from orchestrator.models.operations.system_events import SystemEvent
from orchestrator.models.operations.tenant import Queue

CALLEES_SHOWN: Final = 50
"""Callees whose breakers are shown."""


def sum_up(
    at: str,
    nodes: Sequence[Node],
    queues: Sequence[Queue],
    *,
    ready: int,
    top: int,
    notices: Sequence[SystemEvent] = (),
) -> Load:
    """Sum up the load.

    Args:
        at: the moment.
        nodes: all processes; only live ones count.
        queues: those of the tenants that were looked at.
        ready: how many tenants wait for their turn.
        top: how many tenants to name.
        notices: what happened last.
    """
    live = [node.load for node in nodes if node.live and node.load is not None]
    return Load(
        at=at,
        nodes=list(nodes),
        slots=sum(load.slots for load in live),
        limit=sum(load.limit or load.slots for load in live),
        in_hand=sum(load.in_hand for load in live),
        queued=sum(queue.queued for queue in queues),
        backlog=sum(queue.backlog for queue in queues),
        delayed=sum(queue.delayed for queue in queues),
        dead_letters=sum(queue.dead_letters for queue in queues),
        # Moments are written so that their order is that of their letters.
        oldest_waiting=min((queue.oldest_waiting for queue in queues if queue.oldest_waiting), default=None),
        claims_per_second=round(sum(load.claims_per_second for load in live), 3),
        ends_per_second=round(sum(load.ends_per_second for load in live), 3),
        waits=_worst(load.waits for load in live),
        tenants_ready=ready,
        tenants_seen=len(queues),
        tenants=sorted(queues, key=_place)[:top],
        breakers=dict(Counter(service for load in live for service in sorted(load.breakers))),
        callee_breakers=_callees(live),
        notices=list(notices),
    )


def load_seen_by(tenant_id: str, load: Load) -> Load:
    """Leave out of the load what belongs to other tenants: their names, calls and breakers."""
    return evolve(
        load,
        nodes=[node_seen_by(tenant_id, node) for node in load.nodes],
        tenants=[queue for queue in load.tenants if queue.tenant_id == tenant_id],
        callee_breakers=[breaker for breaker in load.callee_breakers if breaker.tenant_id == tenant_id],
        notices=[notice for notice in load.notices if notice.about.get("tenant_id", tenant_id) == tenant_id],
    )


def node_seen_by(tenant_id: str, node: Node) -> Node:
    """Leave out of what a process says of itself what belongs to other tenants."""
    load = node.load
    if load is None:
        return node
    seen = evolve(
        load,
        tenants={name: tasks for name, tasks in load.tenants.items() if name == tenant_id},
        callee_breakers=[breaker for breaker in load.callee_breakers if breaker.tenant_id == tenant_id],
        open_calls=[call for call in load.open_calls if call.tenant_id == tenant_id],
    )
    return evolve(node, load=seen)


def _callees(loads: Iterable[NodeLoad]) -> list[CalleeBreaker]:
    """Return each callee once that any process leaves alone or probes; the worse of two states."""
    states: dict[tuple[str, str, str], str] = {}
    for load in loads:
        for one in load.callee_breakers:
            key = (one.service, one.tenant_id, one.callee)
            states[key] = max(one.state, states.get(key, ""))
    return [CalleeBreaker(*key, state) for key, state in sorted(states.items())[:CALLEES_SHOWN]]


def _place(queue: Queue) -> tuple[bool, int, str]:
    """Sort tenants by their work; those that are damaged come first, for their work can't be told."""
    return queue.damage is None, -queue.backlog, queue.tenant_id


def _worst(waits: Iterable[Waits]) -> Waits:
    """Return the longest waits of any process: percentiles can't be added, and the worst is what matters."""
    known = [one for one in waits if one.samples]
    if not known:
        return Waits()
    return Waits(max(one.p50_ms for one in known), max(one.p99_ms for one in known), sum(one.samples for one in known))
