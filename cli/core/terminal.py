"""The settings of the terminal."""

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_terminal() -> Iterator[list[Any]]:
    """Give the attributes of the terminal on stdin, and set them again after the block, whatever it has changed."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield before
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
