"""How many tasks a process runs at once: as many as keep its event loop busy, and no more.

Tasks that only wait, for a model or a service, cost the loop nothing, and may fill all slots. Tasks that compute share
it: beyond the few that keep it busy, each further one makes all of them slower, and gets nothing done sooner. By
Little's law `in hand / ends a second` is the time that a task spends in hand; so in a busy loop that is bounded. It is
right for tasks of any size: four turns that take 6 ms each, or a hundred that take 0.2.

The limit moves at every look, in steps that double as long as the direction stays, as a congestion window does: from
the least limit to a hundred within seven looks. It rises only while there is work for it, and what is not used falls
back, by half at a look, so that a flood meets a small limit.

Brief tasks in a loop that is neither idle nor busy wait either each for itself, or in one line: for a service that they
share, or for Redis. How long they take tells which: tasks that stand in line take longer the more of them there are.
"""

import math
from typing import Final

from attrs import field, frozen

FLOOR: Final = 6
"""Least limit: enough for the calls of some tasks to wait while others compute, and for a claim to bring several."""
BUSY: Final = 0.95
"""Share of the time that a loop works from which on it counts as busy."""
ROOM: Final = 0.85
"""Share below which more tasks get more done, where they stay for long: these mostly wait."""
BRIEF_ROOM: Final = 0.5
"""The same where they are brief, and take no longer than when they were fewer."""
IDLE: Final = 0.25
"""Share below which brief tasks may be more without that being known."""
ALONE: Final = 1.1
"""Brief tasks that take up to so many times as long as the least that was seen wait each for itself."""
IN_LINE: Final = 1.3
"""Those that take so many times as long stand in line."""
FORGETS: Final = 1.002
"""By so much the least time in hand grows at a look at the least limit: the tasks of a later time are others. Not above
it, or a line that grows would soon count as how long tasks take."""
BRIEF_SECONDS: Final = 0.5
"""Tasks that are in hand for less are brief."""
LATE_SECONDS: Final = 0.02
"""Lag from which on the loop is busy, whatever else it says."""
SHARED_SECONDS: Final = 0.025
"""Time in hand that is long enough where the loop is busy; half of it is so short that more tasks may come anyway: with
many short ones each claim brings more."""


@frozen
class LoopSample:
    """What was seen of a process since the look before.

    Args:
        busy: share of the time in which the event loop did not wait, 0 to 1.
        lag: how long a task that could run had to wait for its step (s).
        in_hand: tasks in hand, the most of them.
        ends_per_second: how many tasks left, on average of the last moments.
        wanted: whether there is work that the limit keeps from starting.
        seconds: how long tasks are in hand, on average of the last moments; by Little's law, where it is not given.
    """

    busy: float
    lag: float
    in_hand: int
    ends_per_second: float
    wanted: bool
    seconds: float = field()

    @seconds.default
    def _by_littles_law(self) -> float:
        return self.in_hand / self.ends_per_second if self.ends_per_second > 0 else math.inf


@frozen
class AdaptiveLimit:
    """The limit of a process at a moment.

    Args:
        most: the largest limit (`ORCH_CONCURRENCY`).
        limit: the limit.
        step: of the last move; negative: it fell; 0: it stayed.
        least_seconds: the least time that tasks were in hand while others waited for them.
    """

    most: int
    limit: int
    step: int = 0
    least_seconds: float = math.inf

    @classmethod
    def of(cls, most: int) -> "AdaptiveLimit":
        """Begin with the least limit."""
        return cls(most, min(FLOOR, most))

    def after(self, sample: LoopSample) -> "AdaptiveLimit":
        """Return the limit after a look."""
        in_hand, enough = sample.in_hand, SHARED_SECONDS * sample.ends_per_second
        unused = self.limit if sample.wanted else min(self.limit, max(in_hand + FLOOR, self.limit // 2))
        least_seconds = self._least_seconds(sample)
        if in_hand > enough and (sample.busy >= BUSY or sample.lag >= LATE_SECONDS):
            step = min(-1, 2 * self.step)
            return self._to(min(unused, self._fallen(step, in_hand)), step, least_seconds)
        if not sample.wanted:
            return self._to(unused, 0, least_seconds)
        room = ROOM
        if sample.seconds < BRIEF_SECONDS and in_hand > enough:
            room = BRIEF_ROOM if sample.seconds <= ALONE * least_seconds else IDLE
            if sample.busy > IDLE and sample.seconds > IN_LINE * least_seconds:
                return self._to(self._fallen(-1, in_hand), -1, least_seconds)
        if 2 * in_hand <= enough or (sample.busy <= room and sample.lag < LATE_SECONDS / 2):
            step = max(1, 2 * self.step)
            return self._to(self.limit + step, step, least_seconds)
        return self._to(self.limit, 0, least_seconds)

    def _fallen(self, step: int, in_hand: int) -> int:
        # What only waits may stay for long: below that the limit would keep all others waiting.
        return max(self.limit + step, min(self.limit, in_hand - 1))

    def _least_seconds(self, sample: LoopSample) -> float:
        known = self.least_seconds * (FORGETS if self.limit <= FLOOR else 1)
        return min(known, sample.seconds) if sample.wanted and sample.in_hand else known

    def _to(self, limit: int, step: int, least_seconds: float) -> "AdaptiveLimit":
        least = min(FLOOR, self.most)
        return AdaptiveLimit(self.most, max(least, min(limit, self.most)), step, least_seconds)
