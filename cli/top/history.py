"""What `top` remembers of the load: the last minutes, for sparklines and the error rate."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

KEPT: Final = 120
"""Moments that are remembered: two minutes at one a second."""
_BARS: Final = "▁▂▃▄▅▆▇█"


class History:
    """Figures of the last `KEPT` moments.

    Ends are counted by processes and dead letters by tenants; what comes into sight or leaves it between two moments
    says nothing of what happened between them, and is left out.
    """

    def __init__(self) -> None:
        self.backlog: deque[float] = deque(maxlen=KEPT)
        self.ends_per_second: deque[float] = deque(maxlen=KEPT)
        self.error_rates: deque[float] = deque(maxlen=KEPT)
        self._failed: deque[int] = deque(maxlen=KEPT)
        self._ended: deque[int] = deque(maxlen=KEPT)
        self._last_ended: dict[str, int] = {}
        self._last_dead: dict[str, int] = {}

    def add(self, load: Mapping[str, Any]) -> None:
        """Add `orchestrator.load`, as the API returns it."""
        ended = {node["node"]: node["load"]["ended"] for node in load["nodes"] if node["load"]}
        dead = {tenant["tenant_id"]: tenant["dead_letters"] for tenant in load["tenants"]}
        self._ended.append(_grown(self._last_ended, ended))
        self._failed.append(_grown(self._last_dead, dead))
        self._last_ended, self._last_dead = ended, dead
        self.backlog.append(load.get("backlog", load["queued"]))
        self.ends_per_second.append(load["ends_per_second"])
        self.error_rates.append(self.error_rate())

    def error_rate(self) -> float:
        """Return the part of the tasks that ended in the last minutes that are dead letters now, from 0 to 1."""
        # A process counts an end with its next heartbeat, after the dead letter is there.
        return min(1.0, sum(self._failed) / max(1, sum(self._ended), sum(self._failed)))


def _grown(before: Mapping[str, int], now: Mapping[str, int]) -> int:
    return sum(max(0, count - before[name]) for name, count in now.items() if name in before)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last values as bars from 0 to the highest of them; spaces stand before the first one.

    Args:
        values: the values, none negative.
        width: how many are shown, one a terminal cell.
    """
    shown = list(values)[-width:]
    highest = max(shown, default=0)
    steps = len(_BARS) - 1
    bars = "".join(_BARS[round(value / highest * steps) if highest else 0] for value in shown)
    return bars.rjust(width)
