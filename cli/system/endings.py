"""Signals that end a command as Ctrl-C does: it says what was done, and leaves the terminal as it was."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a command beside Ctrl-C: those that nothing handles or ignores, as `nohup` does."""
    return [number for number in _ENDING if signal.getsignal(number) in {signal.SIG_DFL, _end}]


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Have these signals do inside the block what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals() -> None:
    """Have these signals end the process at once again."""
    for number in _ENDING:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def _end(_: int, frame: FrameType | None) -> None:
    # Where trio runs, its handler raises KeyboardInterrupt where that does no harm.
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)
