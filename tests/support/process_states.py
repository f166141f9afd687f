"""Whether processes of other programs run."""

import os
from pathlib import Path
from typing import Final

from tests.support.eventually import eventually

_STATES: Final = Path("/proc")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; an orphan that is not reaped yet is dead all the same."""
    try:
        os.kill(pid, 0)
        return (_STATES / str(pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        # It has gone meanwhile, unless the system shows none.
        return not _STATES.is_dir()


async def until_gone(pid: int) -> None:
    """Wait for the end of a process."""
    await eventually(f"process {pid} is gone", lambda: is_alive(pid), lambda alive: not alive)
