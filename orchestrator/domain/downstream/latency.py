"""Recent latencies of an operation, and whether a call of it can finish in time.

The estimate is optimistic: a call is rejected only where even the fastest of many recent calls took longer than the
time that is left. Samples expire, so that a service that was slow is called again.
"""

from collections import deque
from typing import Final

from attrs import define, field

SAMPLES: Final = 128
ENOUGH: Final = 20
"""Least number of recent samples for an estimate."""
RECENT_SECONDS: Final = 30.0
ORDER_SECONDS: Final = 0.25
"""Age of the sorted samples at which they are sorted again: not for each call, which would cost too much."""
QUICK: Final = 0.05
"""Quantile that stands for the fastest calls."""


@define
class RecentLatency:
    """Durations of successful calls, in seconds."""

    _samples: deque[tuple[float, float]] = field(factory=lambda: deque(maxlen=SAMPLES), init=False)
    _ordered: list[float] = field(factory=list, init=False)
    _ordered_at: float = field(default=float("-inf"), init=False)

    def add(self, seconds: float, now: float) -> None:
        """Record a successful call."""
        self._samples.append((now, seconds))

    def typical(self, now: float) -> float | None:
        """Return the median; None where there are too few samples."""
        return self._at(0.5, now)

    def can_finish(self, remaining: float, now: float) -> bool:
        """Tell whether a call may finish within `remaining` seconds; true where there are too few samples."""
        quick = self._at(QUICK, now)
        return quick is None or quick <= remaining

    def _at(self, share: float, now: float) -> float | None:
        if now - self._ordered_at >= ORDER_SECONDS:
            self._ordered = sorted(seconds for at, seconds in self._samples if at >= now - RECENT_SECONDS)
            self._ordered_at = now
        return self._ordered[int(len(self._ordered) * share)] if len(self._ordered) >= ENOUGH else None
