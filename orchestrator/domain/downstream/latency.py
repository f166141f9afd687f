"""What an operation has taken lately, and whether a call of it can still be done in time.

The judgement is for the call: only where even the quickest of many recent calls took longer than there is time, the
call is not begun. It forgets, so that a service which was slow is asked again.
"""

from collections import deque
from typing import Final

from attrs import define, field

SAMPLES: Final = 128
ENOUGH: Final = 20
"""Fewer recent calls say nothing."""
RECENT_SECONDS: Final = 30.0
ORDER_SECONDS: Final = 0.25
"""How long the samples are taken as they were put in order: sorting for each call would cost more than it tells."""
QUICK: Final = 0.05
"""The share of recent calls that were at least so quick."""


@define
class RecentLatency:
    """The durations of calls that went well, in seconds."""

    _samples: deque[tuple[float, float]] = field(factory=lambda: deque(maxlen=SAMPLES), init=False)
    _ordered: list[float] = field(factory=list, init=False)
    _ordered_at: float = field(default=float("-inf"), init=False)

    def add(self, seconds: float, now: float) -> None:
        """Take note of a call that went well."""
        self._samples.append((now, seconds))

    def typical(self, now: float) -> float | None:
        """Return the median; None where too little is known."""
        return self._at(0.5, now)

    def can_finish(self, remaining: float, now: float) -> bool:
        """Say whether a call may be done within `remaining` seconds, as far as that is known."""
        quick = self._at(QUICK, now)
        return quick is None or quick <= remaining

    def _at(self, share: float, now: float) -> float | None:
        if now - self._ordered_at >= ORDER_SECONDS:
            self._ordered = sorted(seconds for at, seconds in self._samples if at >= now - RECENT_SECONDS)
            self._ordered_at = now
        return self._ordered[int(len(self._ordered) * share)] if len(self._ordered) >= ENOUGH else None
