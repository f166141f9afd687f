"""Free ports of the loopback, for servers that are told where to listen."""

import errno
import socket
from contextlib import suppress
from secrets import SystemRandom
from typing import Final

PORTS: Final = range(20_000, 32_000)
"""Below the ephemeral ports: no outgoing connection takes one before its server does, or while the server restarts."""
_TRIES: Final = 100


def free_port() -> int:
    """Return a port that no socket of the loopback uses now.

    Raises:
        OSError: none of many was free.
    """
    for port in SystemRandom().sample(PORTS, _TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, f"no free port from {PORTS.start} to {PORTS.stop - 1}")
