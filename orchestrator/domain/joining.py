"""How long the pieces of live answers are gathered before they are passed on together."""

from typing import Final

from attrs import define

LONGEST_SECONDS: Final = 0.05
"""A reader does not see so short a delay."""
SECONDS_AN_ANSWER: Final = 0.001
"""With so much for each answer that is being said, passing on takes the same share of a process, however many."""
LEAST_SECONDS: Final = 0.005
"""Less than this is no pause at all: few answers are passed on as they come."""


def pause_seconds(speaking: int) -> float:
    """Return how long an answer is not read after a piece of it was passed on.

    What comes in this time is read at once, and joined. No piece is later for it by more than `LONGEST_SECONDS`, and
    the first piece of an answer never is.

    Args:
        speaking: answers that are being said in this process.
    """
    pause = min(LONGEST_SECONDS, speaking * SECONDS_AN_ANSWER)
    return pause if pause > LEAST_SECONDS else 0.0


@define
class Speaking:
    """The answers that are being said in this process."""

    count: int = 0

    @property
    def pause(self) -> float:
        """The present pause, in seconds."""
        return pause_seconds(self.count)
