"""One stack in one data directory."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio


class DataDirInUse(Exception):
    """Another stack runs in this data directory."""


def open_lock(data_dir: Path) -> int:
    """Return a descriptor of the directory's lock file, not yet locked."""
    data_dir.mkdir(parents=True, exist_ok=True)
    return os.open(data_dir / "redis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@asynccontextmanager
async def data_lock(data_dir: Path, *, patience: float = 1.0) -> AsyncIterator[int]:
    """Hold the lock of a data directory, and give its descriptor.

    Args:
        data_dir: made where it is missing.
        patience: how long to wait, in seconds: the Redis of a stack that was killed just now needs a moment to end.

    Raises:
        DataDirInUse: another stack holds it.
    """
    descriptor = open_lock(data_dir)
    try:
        deadline = trio.current_time() + patience
        # flock knows no deadline and no readiness, so that asking again is the only way to wait for it.
        while not _try_lock(descriptor):
            if trio.current_time() >= deadline:
                raise DataDirInUse(
                    f"Another stack is running in {data_dir}: stop it, or choose another directory with --data-dir."
                )
            await trio.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
