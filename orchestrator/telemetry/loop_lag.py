"""How late the event loop is: the one figure that tells of code which holds everybody up."""

from collections.abc import Callable
from typing import Final

import trio

EVERY: Final = 0.5
"""Seconds between two looks."""


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Report how much later than it was due this task runs (s), for ever."""
    while True:
        due = trio.current_time() + EVERY
        await trio.sleep_until(due)
        observe(trio.current_time() - due)
