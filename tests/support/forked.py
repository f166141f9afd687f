"""Processes of the service and of the command, forked from one that has loaded both (`fork_server`)."""

import atexit
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import trio
from attrs import define, field, frozen

from tests.support.fork_server import NUMBER, Program

MODULES: Final = ("orchestrator.main", "orchestrator.running", "cli.main")
"""Loaded before anything is asked for."""
_ROOT: Final = str(Path(__file__).parents[2])
_AT_START: Final = ("PYTHON", "LC_", "LANG", "TZ")
"""Variables that an interpreter reads when it starts begin so."""


@frozen
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str


@define(eq=False)
class ForkedProcess:
    """A process, with what tests use of `trio.Process`."""

    pid: int
    stdin: trio.lowlevel.FdStream | None
    stdout: trio.lowlevel.FdStream
    stderr: trio.lowlevel.FdStream | None
    _told: trio.lowlevel.FdStream
    returncode: int | None = None
    _reading: trio.Lock = field(factory=trio.Lock)

    def poll(self) -> int | None:
        """Return the exit code, minus the signal that has killed it; None while it runs."""
        if self.returncode is None:
            try:
                self._note(os.read(self._told.fileno(), NUMBER.size))
            except BlockingIOError:
                return None
        return self.returncode

    async def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        async with self._reading:
            if self.returncode is None:
                self._note(await self._told.receive_some(NUMBER.size))
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            # It may have been reaped already, and its end not be told yet.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Tell it to stop."""
        self.send_signal(signal.SIGTERM)

    def _note(self, told: bytes) -> None:
        assert told, "the server of forks has ended"
        (self.returncode,) = NUMBER.unpack(told)


async def open_forked(
    module: str,
    *arguments: str,
    environ: Mapping[str, str],
    directory: Path | None = None,
    takes_input: bool = False,
    tells_errors: bool = False,
) -> ForkedProcess:
    """Open a process that runs a module, as `trio.lowlevel.open_process` does with an interpreter of its own.

    Args:
        module: as after `python -m`.
        arguments: of the command line.
        environ: all of its environment.
        directory: where it runs; None: here.
        takes_input: whether its standard input is a pipe; else it is empty.
        tells_errors: whether its standard error is a pipe; else it is that of the tests.
    """
    theirs = [os.open(os.devnull, os.O_RDONLY), 1, 2, -1]
    ours: dict[int, int] = {}
    wanted = [1, 3, *([0] if takes_input else []), *([2] if tells_errors else [])]
    for place in wanted:
        reader, writer = os.pipe()
        if place == 0:
            os.close(theirs[0])
        theirs[place], ours[place] = (reader, writer) if place == 0 else (writer, reader)
    program = Program(module, [*arguments], dict(environ), str(directory or Path.cwd()))
    try:
        program.ask(_server(), theirs)
    finally:
        for place in {0, *wanted}:
            os.close(theirs[place])
    streams = {place: trio.lowlevel.FdStream(number) for place, number in ours.items()}
    (pid,) = NUMBER.unpack(await streams[3].receive_some(NUMBER.size))
    return ForkedProcess(pid, streams.get(0), streams[1], streams.get(2), streams[3])


async def run_forked(
    module: str, *arguments: str, environ: Mapping[str, str], directory: Path, given: bytes = b""
) -> Ended:
    """Run a module to its end; with an interpreter of its own where the environment says how one starts.

    Args:
        module: as after `python -m`.
        arguments: of the command line.
        environ: all of its environment.
        directory: where it runs.
        given: its standard input.
    """
    if not _starts_alike(environ):
        command = [sys.executable, "-m", module, *arguments]
        done = await trio.run_process(
            command, stdin=given, capture_stdout=True, capture_stderr=True, check=False, cwd=directory, env=environ
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
    process = await open_forked(
        module, *arguments, environ=environ, directory=directory, takes_input=bool(given), tells_errors=True
    )
    out, err = bytearray(), bytearray()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, process.stdout, out)
            nursery.start_soon(_read, process.stderr, err)
            if process.stdin is not None:
                with suppress(trio.BrokenResourceError):
                    await process.stdin.send_all(given)
                await process.stdin.aclose()
        return Ended(await process.wait(), out.decode(), err.decode())
    finally:
        process.kill()


async def _read(stream: trio.lowlevel.FdStream | None, read: bytearray) -> None:
    assert stream is not None
    async with stream:
        async for piece in stream:
            read += piece


def _starts_alike(environ: Mapping[str, str]) -> bool:
    """Tell whether an interpreter with an environment would start as the one that forks has."""
    names = {name for name in (*environ, *os.environ) if name.startswith(_AT_START)} - {"PYTHONPATH"}
    return all(environ.get(name) == os.environ.get(name) for name in names)


@cache
def _server() -> socket.socket:
    """Start the server that forks, once for all tests of a worker; it ends with the worker."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno()), *MODULES],
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
        )
    atexit.register(_end, ours, process)
    return ours


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    process.wait(timeout=10)
