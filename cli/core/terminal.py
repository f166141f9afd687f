"""Attributes of the terminal on stdin."""

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_terminal() -> Iterator[list[Any]]:
    """Yield the attributes of the terminal, and restore them after the block."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield before
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
