"""The terminal or pipe on stdin."""

import os
import stat
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


def with_piped(message: str) -> str:
    """Return a message, followed by what comes in a pipe or a file on stdin: it is what the message is about."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    # A terminal or /dev/null says nothing, and a socket of a supervisor may never end.
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return message
    given = sys.stdin.read().rstrip()
    return f"{message}\n\n{given}" if given else message
