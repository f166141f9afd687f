"""What a command that waits tells of what it waits for: `task.why` says it, and notes on stderr repeat it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from cli.core.failures import CliFailure

_QUIET_SECONDS: Final = 1.0
"""Without any progress for so long, it is looked what keeps the work."""
_EVERY_SECONDS: Final = 2.0
_AS_EXPECTED: Final = frozenset({"ended", "in_hand", "client_tool", "input", "service"})
"""Reasons of `task.why` that keep nothing: the work is done, or asks for its answers itself."""
_PASSING: Final = "next"
"""The reason of a task that is about to start: worth telling if it still holds at the next look."""


class WaitNotes:
    """Decides when to look for what keeps some work, and what of it is news.

    Args:
        what: what waits, as the subject of a sentence, such as `The workflow`.
        clock: returns the time in seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._told: object = None
        self._reason = ""
        self._look_at = clock() + _QUIET_SECONDS

    def moved(self) -> None:
        """Note that the work has moved on: whatever keeps it next is news."""
        self._told, self._reason = None, ""
        self._look_at = self._clock() + _QUIET_SECONDS

    def left(self) -> float:
        """Return the seconds until the next look; 0: it is due."""
        return max(0.0, self._look_at - self._clock())

    def looked(self) -> None:
        """Note that it is being looked."""
        self._look_at = self._clock() + _EVERY_SECONDS

    def of_wait(self, wait: Mapping[str, Any]) -> str:
        """Return what is to be told of an answer of `task.why`; empty: nothing."""
        reason, before = str(wait["reason"]), self._reason
        self._reason = reason
        if reason in _AS_EXPECTED:
            self._told = None
        if reason in _AS_EXPECTED or (reason == _PASSING and before != _PASSING):
            return ""
        # The moment of the next attempt is news, a place in the queue is not.
        return self._once((reason, wait.get("until")), f"{self._what} waits. {wait['says']}")

    def of_failure(self, failure: CliFailure) -> str:
        """Return what is to be told of a failure that passes; empty: nothing."""
        self._reason = ""
        # What follows tells users to try again, which is being done.
        cause = failure.message.partition(";")[0].rstrip(".")
        return self._once(cause, f"{self._what} waits. {cause}.")

    def _once(self, state: object, text: str) -> str:
        if state == self._told:
            return ""
        self._told = state
        return text
