"""The file descriptors of the process: how many connections may have, and how many stay for everything else."""

import resource
import sys
from contextlib import suppress
from typing import Final

MOST_RESERVED: Final = 1024
"""For Redis, for calls to services, for files and pipes."""
_SHARE: Final = 4


def descriptors() -> int:
    """Return how many the process may have open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def reserved(limit: int) -> int:
    """Return how many of `limit` connections leave alone: a fourth, and at most 1024."""
    return min(limit // _SHARE, MOST_RESERVED)


def raise_limit(connections: int) -> None:
    """Let the process open enough for so many connections, as far as the system allows it."""
    wanted = connections + MOST_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
