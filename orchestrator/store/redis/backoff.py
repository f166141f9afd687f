"""Pauses between attempts to connect."""

import random
from typing import Final

_FIRST: Final = 0.02
_LONGEST: Final = 2.0


class Backoff:
    """Pauses that double up to two seconds, each shortened by up to a half so that processes don't come in step."""

    def __init__(self) -> None:
        self._pause = _FIRST

    def next(self) -> float:
        """Return how long to wait now, in seconds."""
        pause = self._pause
        self._pause = min(_LONGEST, pause * 2)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects, guards nothing
