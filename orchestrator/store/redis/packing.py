"""Commands as bytes."""

from collections.abc import Sequence
from typing import Any

import hiredis


def pack(args: Sequence[Any]) -> bytes:
    """Return a command as it goes over the wire.

    Args:
        args: its name, which may hold a subcommand after a space, and its arguments.

    Raises:
        TypeError: an argument is neither text, bytes nor a number.
    """
    name = args[0]
    if isinstance(name, str) and " " in name:
        # redis-py writes some commands with their subcommand in one piece.
        args = (*name.split(), *args[1:])
    try:
        packed: bytes = hiredis.pack_command(tuple(args))
    except TypeError as error:
        raise TypeError(f"an argument of {name} is neither text, bytes nor a number") from error
    return packed


def pack_part(args: Sequence[Any]) -> bytes:
    """Return arguments as they stand in a command.

    Raises:
        TypeError: one of them is neither text, bytes nor a number.
    """
    try:
        packed: bytes = hiredis.pack_command(tuple(args))
    except TypeError as error:
        raise TypeError("an argument is neither text, bytes nor a number") from error
    return packed[packed.index(b"\n") + 1 :]
