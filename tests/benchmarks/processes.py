"""Processes that benchmarks start, and what they take of the machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trio

END_SECONDS = 120


@contextmanager
def beside(module: str, part: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run a part of a benchmark's module as a process, until the end of the block.

    Args:
        module: its full name; under `python -m`, `__spec__.name` of the module.
        part: the name by which `harness.run` was told of it.
        *arguments: what it takes.

    Yields:
        The port that its first line tells, and the id of the process.
    """
    command = [sys.executable, "-m", module, "--part", part, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()
            process.wait(END_SECONDS)


async def until_stdin_ends() -> None:
    """Wait until the parent has gone, in a part that serves."""
    await trio.lowlevel.wait_readable(sys.stdin.fileno())


@contextmanager
def serving(command: list[str], environ: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Run a server whose first line ends in its URL, and kill it at the end; yields URL and process id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(environ), text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1], process.pid
        finally:
            process.send_signal(signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
