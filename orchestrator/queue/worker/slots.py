"""The slots of a process: how many tasks it runs at once, by what its event loop has time for."""

import math
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field

from orchestrator.domain.tasks.adaptive_limit import ROOM, AdaptiveLimit, LoopSample
from orchestrator.telemetry.loop_lag import LoopClock

EVERY: Final = 0.02
"""Seconds between two looks at the event loop, while tasks are in hand."""
GATHERS: Final = 0.5
"""Share of its time that a loop works from which on free slots are gathered for a claim."""
ROUNDS: Final = 3
"""So many claims fill all slots, where they are gathered."""
_SMOOTHED_SECONDS: Final = 0.1
"""Over so long the share of the time that the loop works is averaged: single looks differ by half."""
_REMEMBERED_SECONDS: Final = 0.2
"""For so long an end counts for how many there are a second."""


@define(eq=False)
class Slots:
    """Counts tasks in hand, and says how many more may be.

    Args:
        most: how many tasks run at once, at most.
        adaptive: whether there are fewer while the event loop is busy.
        wanted: says whether there is work that waits for a slot.
        raised: told that there are more slots than before.
    """

    most: int
    adaptive: bool
    wanted: Callable[[], bool] = lambda: False
    raised: Callable[[], None] = lambda: None
    in_hand: int = field(default=0, init=False)
    busy: float = field(default=0.0, init=False)
    """Share of its time that the event loop worked, when it was last looked at."""
    _limit: AdaptiveLimit = field(init=False)
    _most_in_hand: int = field(default=0, init=False)
    """Since the last look."""
    _asked: bool = field(default=False, init=False)
    """Whether work had to wait for a slot since the last look."""
    _ended: int = field(default=0, init=False)
    _changed: trio.Event | None = field(default=None, init=False)
    """What those wait for who wait."""

    @_limit.default
    def _least(self) -> AdaptiveLimit:
        return AdaptiveLimit.of(self.most)

    @property
    def limit(self) -> int:
        """How many tasks the process runs at once, at present."""
        return self._limit.limit if self.adaptive else self.most

    @property
    def free(self) -> int:
        """How many more tasks it may run; below 0 where the limit has fallen since they began."""
        return self.limit - self.in_hand

    @property
    def are_worth_a_claim(self) -> bool:
        """Whether so many are free that a claim brings several tasks, or the event loop has time for one of its own."""
        return self.busy < GATHERS or self.free > self.limit // ROUNDS

    @property
    def is_busy(self) -> bool:
        """Whether the event loop has no time for what can wait."""
        return self.busy > ROOM

    def take(self) -> None:
        """Count a task that begins."""
        self.in_hand += 1
        self._most_in_hand = max(self._most_in_hand, self.in_hand)
        self._change()

    def give_back(self) -> None:
        """Count a task that has left."""
        self.in_hand -= 1
        self._ended += 1
        self._change()

    def ask(self) -> None:
        """Note that there may be work which has to wait for a slot."""
        self._asked = True

    async def change(self) -> None:
        """Wait until there may be more free slots, or fewer."""
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _change(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def run(self) -> None:
        """Let the limit follow the event loop, for ever."""
        if not self.adaptive:
            return
        clock = LoopClock()
        trio.lowlevel.add_instrument(clock)
        try:
            while True:
                while self._most_in_hand == 0:
                    await self.change()
                await self._follow(clock)
        finally:
            trio.lowlevel.remove_instrument(clock)

    async def _follow(self, clock: LoopClock) -> None:
        """Look at the event loop, again and again, until nothing is in hand and the limit is the least."""
        before, ended, ends_per_second, held = clock.read(), self._ended, 0.0, 0.0
        while self._most_in_hand or self._limit != AdaptiveLimit.of(self.most):
            due = trio.current_time() + EVERY
            await trio.sleep_until(due)
            now = clock.read()
            seconds = max(now.total - before.total, EVERY)
            fades = math.exp(-seconds / _REMEMBERED_SECONDS)
            ends_per_second = fades * ends_per_second + (1 - fades) * (self._ended - ended) / seconds
            stays = math.exp(-seconds / _SMOOTHED_SECONDS)
            self.busy = stays * self.busy + (1 - stays) * now.busy_since(before)
            before, ended = now, self._ended
            lag = max(0.0, trio.current_time() - due)
            wanted, in_hand, last = self._asked or self.wanted(), self._most_in_hand, self._limit.limit
            self._asked, self._most_in_hand = False, self.in_hand
            held = fades * held + (1 - fades) * in_hand
            took = held / ends_per_second if ends_per_second > 0 else math.inf
            self._limit = self._limit.after(LoopSample(self.busy, lag, in_hand, ends_per_second, wanted, took))
            if self._limit.limit > last:
                self._change()
                self.raised()
        self.busy = 0.0
