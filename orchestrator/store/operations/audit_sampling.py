"""Which of many like entries of the audit trail are written, and how the rest is counted.

Within a window of time each source (an address, a user) gets a few entries of its own, and all sources of a scope get a
bounded number together; what comes beyond is counted by what it was, and told in one entry each at the window's end.
So a flood is seen, by its size too, and writes no more than a trickle does.
"""

from collections.abc import Iterator
from typing import Final

from attrs import define, field, frozen

WINDOW_SECONDS: Final = 60.0
PER_SOURCE: Final = 10
"""Entries of one source that are written in a window."""
PER_SCOPE: Final = 120
"""Entries of all sources of a scope that are written in a window."""
SCOPES: Final = 10_000
"""Scopes that are told apart at a time; the rest share one."""
KINDS: Final = 50
"""Kinds of entries of a scope that are counted apart; the rest share one."""
SOURCES: Final = 1000
"""Sources of a scope that are told apart; a scope with more says so."""
OTHER: Final = "other"


@frozen
class Counted:
    """What was counted of a scope in a window, beyond what was written."""

    scope: str
    what: str
    count: int
    sources: int


@define
class _Window:
    ends: float
    written: int = 0
    by_source: dict[str, int] = field(factory=dict)
    counts: dict[str, tuple[int, set[str]]] = field(factory=dict)


class Sampler:
    """Decides which entries are written."""

    def __init__(
        self, seconds: float = WINDOW_SECONDS, *, per_source: int = PER_SOURCE, per_scope: int = PER_SCOPE
    ) -> None:
        self._seconds, self._per_source, self._per_scope = seconds, per_source, per_scope
        self._windows: dict[str, _Window] = {}

    def take(self, now: float, scope: str, source: str, what: str) -> bool:
        """Tell whether an entry is to be written; if not, it has been counted.

        Args:
            now: seconds, monotonic.
            scope: what shares a bound, such as a tenant.
            source: who causes it.
            what: what is counted together.
        """
        if scope not in self._windows and len(self._windows) >= SCOPES:
            scope = OTHER
        window = self._windows.setdefault(scope, _Window(now + self._seconds))
        seen = window.by_source.get(source, 0)
        if seen or len(window.by_source) < SOURCES:
            window.by_source[source] = seen + 1
            if seen < self._per_source and window.written < self._per_scope:
                window.written += 1
                return True
        if what not in window.counts and len(window.counts) >= KINDS:
            what = OTHER
        count, sources = window.counts.get(what, (0, set()))
        if len(sources) < SOURCES:
            sources.add(source)
        window.counts[what] = (count + 1, sources)
        return False

    def ended(self, now: float) -> Iterator[Counted]:
        """Close the windows that are over, and yield what was counted in them."""
        for scope in [scope for scope, window in self._windows.items() if window.ends <= now]:
            window = self._windows.pop(scope)
            for what, (count, sources) in window.counts.items():
                yield Counted(scope, what, count, len(sources))
