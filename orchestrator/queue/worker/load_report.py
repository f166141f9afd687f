"""The meter: what this process has done, as its heartbeat tells it."""

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Final

import trio
from attrs import define, field

from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.load import CalleeBreaker, NodeLoad, OpenCall, Waits
from orchestrator.queue.worker.slots import Slots
from orchestrator.store.tasks.claims import Claim

_SAMPLES: Final = 512
_TENANTS: Final = 50


@define
class LoadReporter:
    """Counts claims and ends, and how long tasks had waited.

    Args:
        node: the name of this process.
        slots: its slots.
        breakers: says which services are left alone.
        callee_breakers: says which callees of services are left alone.
        open_calls: says which calls of services have been open for long.
    """

    node: str
    slots: Slots
    breakers: Callable[[], Mapping[str, str]] = dict
    callee_breakers: Callable[[], list[CalleeBreaker]] = list
    open_calls: Callable[[], list[OpenCall]] = list
    claimed: int = field(default=0, init=False)
    ended: int = field(default=0, init=False)
    _started_at: str = field(factory=lambda: to_timestamp(now_ms()), init=False)
    _version: str = field(factory=lambda: version("nooble-orch"), init=False)
    _waits: deque[int] = field(factory=lambda: deque(maxlen=_SAMPLES), init=False)
    _last: tuple[float, int, int] | None = field(default=None, init=False)

    def note_claim(self, claim: Claim) -> None:
        """Count a claimed task; by Redis' clock it says how long it had waited, if it never ran before."""
        self.claimed += 1
        if claim.attempt == 1 and b"created_at" in claim.record:
            self._waits.append(int(claim.record[b"claimed_at"]) - int(claim.record[b"created_at"]))

    def note_end(self) -> None:
        """Count a task that left."""
        self.ended += 1

    def read(self, tenants_in_hand: Iterable[str]) -> NodeLoad:
        """Return the load; rates are those since the last reading."""
        now, counts = trio.current_time(), Counter(tenants_in_hand)
        last_at, last_claimed, last_ended = self._last or (now, self.claimed, self.ended)
        seconds = now - last_at
        self._last = (now, self.claimed, self.ended)
        return NodeLoad(
            node=self.node,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            started_at=self._started_at,
            slots=self.slots.most,
            limit=self.slots.limit,
            loop_busy=round(self.slots.busy, 3),
            in_hand=counts.total(),
            claimed=self.claimed,
            ended=self.ended,
            claims_per_second=(self.claimed - last_claimed) / seconds if seconds > 0 else 0.0,
            ends_per_second=(self.ended - last_ended) / seconds if seconds > 0 else 0.0,
            waits=waits_of(self._waits),
            tenants=dict(counts.most_common(_TENANTS)),
            breakers={service: str(state) for service, state in self.breakers().items()},
            callee_breakers=self.callee_breakers(),
            open_calls=self.open_calls(),
        )


def waits_of(samples: Iterable[int]) -> Waits:
    """Return the percentiles of waits in ms."""
    ordered = sorted(samples)
    if not ordered:
        return Waits()
    return Waits(ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], len(ordered))
