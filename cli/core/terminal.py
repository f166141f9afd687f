"""The terminals or pipes of the standard streams."""

import os
import stat
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_WIDTH: Final = 80
"""Cells of a line where nothing tells."""


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


def terminal_width() -> int:
    """Return the width of the terminal in cells: that of COLUMNS, or of the terminal of a standard stream; else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    for descriptor in (1, 2, 0):
        try:
            return os.get_terminal_size(descriptor).columns or _WIDTH
        except OSError:
            continue
    return _WIDTH


def can_draw() -> bool:
    """Tell whether stdout is a terminal that obeys escape sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}
