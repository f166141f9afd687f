"""What a load has shown: counts, rates, percentiles and how many answers were streamed at once."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

PERCENTILES: Final = (50, 95, 99)


def percentile(sorted_values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile.

    Args:
        sorted_values: at least one, in ascending order.
        percent: above 0, up to 100.
    """
    return sorted_values[max(0, math.ceil(len(sorted_values) * percent / 100) - 1)]


def summary(seconds: Sequence[float], elapsed: float) -> dict[str, Any]:
    """Return count, rate and percentiles of what took so many seconds each.

    Args:
        seconds: one for each.
        elapsed: of the whole load, in seconds.
    """
    ordered = sorted(seconds)
    told: dict[str, Any] = {"count": len(ordered), "per_second": round(len(ordered) / elapsed, 1) if elapsed else 0.0}
    for percent in PERCENTILES:
        told[f"p{percent}_ms"] = round(percentile(ordered, percent) * 1000, 1) if ordered else None
    return told


@define
class LiveAnswers:
    """How many answers are being streamed: between the first token and the end."""

    now: int = 0
    peak: int = 0
    _since: float = 0.0
    _area: float = 0.0

    def change(self, by: int, at: float) -> None:
        """Note that some more or fewer are streamed.

        Args:
            by: how many.
            at: the moment, in seconds on any clock that goes on.
        """
        self._area += self.now * (at - self._since)
        self._since, self.now = at, self.now + by
        self.peak = max(self.peak, self.now)

    def mean(self, elapsed: float) -> float:
        """Return how many there were on average."""
        return round(self._area / elapsed, 2) if elapsed else 0.0


@define
class Figures:
    """What was measured; all times in seconds."""

    accepted: list[float] = field(factory=list)
    """From a message to its acceptance."""
    first_tokens: list[float] = field(factory=list)
    """From a message to the first piece of its answer."""
    turns: list[float] = field(factory=list)
    """From a message to the end of its answer."""
    live: LiveAnswers = field(factory=LiveAnswers)
    errors: Counter[str] = field(factory=Counter)
    """By code, or by what happened where the service gave none."""
    unfinished: int = 0
    """Turns that run; when the load has ended those that ran then."""

    def told(self, elapsed: float) -> dict[str, Any]:
        """Return all of it.

        Args:
            elapsed: of the load, in seconds.
        """
        return {
            "seconds": round(elapsed, 2),
            "accepted": summary(self.accepted, elapsed),
            "first_token": summary(self.first_tokens, elapsed),
            "turn": summary(self.turns, elapsed),
            "live_answers": {"mean": self.live.mean(elapsed), "peak": self.live.peak},
            "unfinished": self.unfinished,
            "errors": dict(sorted(self.errors.items())),
        }
