"""Silence: who was not heard of for a while, by the steady clock of the one who listens.

What processes tell of themselves (heartbeats, renewals) are moments of Redis' clock, which may be set forward or back.
So no such moment is compared with that clock: what counts is how long it has stayed the same while it was watched.
"""

from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

K = TypeVar("K", bound=Hashable)

PRESUMED: Final = 2 / 3
"""The share of the timeout after which one is silent that was never heard, and has been quiet for long by Redis' clock:
what died before the watch began. It is two heartbeats, so one that lives is heard in time."""


@frozen
class _Seen:
    moment: int
    since: float
    """Of the steady clock: when it was first seen so."""
    alive: bool
    """Whether it has ever changed."""


@define
class SilenceWatch(Generic[K]):
    """Watches moments that change while their owners live.

    Args:
        timeout: how long one may stay the same, in seconds.
        slack_ms: by how much one may differ and count as the same.
    """

    timeout: float
    slack_ms: int = 0
    _seen: dict[K, _Seen] = field(factory=dict, init=False)

    def look(self, now: float, moments: Mapping[K, int], *, stale: frozenset[K] = frozenset()) -> list[K]:
        """Return those that are silent; those that are not in `moments` any more are forgotten.

        Args:
            now: seconds of a steady clock.
            moments: the last moment (ms) that each has told.
            stale: those whose moment is older than the timeout by the clock that wrote it.
        """
        self._seen = {key: self._next(key, moment, now) for key, moment in moments.items()}
        return [key for key, seen in self._seen.items() if now - seen.since >= self._patience(key, seen, stale)]

    def begin_again(self, now: float) -> None:
        """Give all of them the whole time again, as after Redis was away and none of them could be heard."""
        self._seen = {key: _Seen(seen.moment, now, alive=True) for key, seen in self._seen.items()}

    def _next(self, key: K, moment: int, now: float) -> _Seen:
        seen = self._seen.get(key)
        if seen is None:
            return _Seen(moment, now, alive=False)
        if abs(moment - seen.moment) > self.slack_ms:
            return _Seen(moment, now, alive=True)
        return seen

    def _patience(self, key: K, seen: _Seen, stale: frozenset[K]) -> float:
        return self.timeout * PRESUMED if key in stale and not seen.alive else self.timeout
