"""A process of the stack: it reports when it is ready, and ends with the parent."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final

import trio

from cli.core.failures import CliFailure
from orchestrator.sandbox.redis.redis_launch import LAUNCHER

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 8.0
_LOG_LINES: Final = 5
# The launcher sends stdout to the log; here it goes to the pipe `$0`, for the line `ready ...`.
_TO_PIPE: Final = 'exec "$@" >"$0"'


class Child:
    """A running process; created by `run_child`."""

    def __init__(self, name: str, log_path: Path, launcher: trio.Process, output: trio.lowlevel.FdStream) -> None:
        self.name = name
        self.pid = 0
        self._log_path = log_path
        self._launcher = launcher
        self._output = output

    async def ready(self) -> str:
        """Wait for the line `ready URL`, and return the URL.

        Raises:
            CliFailure: the process ended, or was not ready within `READY_SECONDS`.
        """
        url = ""
        with trio.move_on_after(READY_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fail_at_its_end)
                url = await self._read_url()
                nursery.cancel_scope.cancel()
        if not url:
            raise CliFailure(f"The {self.name} was not ready within {READY_SECONDS:.0f} s.", self._log_hint())
        return url

    async def watch(self) -> None:
        """Wait for the process to end, until cancelled.

        Raises:
            CliFailure: it ended.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain)
            await self._fail_at_its_end()

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait for the end."""
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, signal.SIGTERM)

    async def stop(self) -> None:
        """Stop the process with SIGTERM, and kill it after `STOP_SECONDS`."""
        assert self._launcher.stdin is not None  # noqa: S101  # a pipe by run_child()
        with trio.move_on_after(STOP_SECONDS):
            if self.pid:
                self.terminate()
                await self._launcher.wait()
        await self._launcher.stdin.aclose()  # the launcher kills the rest
        await self._launcher.wait()
        await self._output.aclose()

    async def _read_url(self) -> str:
        read = b""
        async for piece in self._output:
            read += piece
            for line in read.split(b"\n")[:-1]:
                if line.startswith(b"ready "):
                    return line.split()[1].decode()
        await trio.sleep_forever()  # without output the process has ended or will: `_fail_at_its_end` raises
        raise AssertionError("unreachable")

    async def _drain(self) -> None:
        # A full pipe would block the process.
        async for _ in self._output:
            pass

    async def _fail_at_its_end(self) -> None:
        status = await self._launcher.wait()
        raise CliFailure(f"The {self.name} ended with status {status}.", self._log_hint())

    def _log_hint(self) -> str:
        return log_hint(self._log_path)


def log_hint(path: Path) -> str:
    """Return the path of a log and its last lines."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return "\n  ".join([f"{path} ends with:", *(lines[-_LOG_LINES:] or ["(nothing)"])])


@asynccontextmanager
async def run_child(
    name: str, module: str, arguments: Sequence[str], *, log_path: Path, environ: Mapping[str, str]
) -> AsyncIterator[Child]:
    """Run `python -m module` inside the block.

    Args:
        name: the name of the process in messages.
        module: the module.
        arguments: the command-line arguments.
        log_path: the file for its stderr; truncated first.
        environ: the whole environment of the process.
    """
    await trio.Path(log_path).write_bytes(b"")
    reading, writing = os.pipe()
    output = trio.lowlevel.FdStream(reading)
    try:
        command = ["/bin/sh", "-c", _TO_PIPE, f"/dev/fd/{writing}", sys.executable, "-m", module, *arguments]
        launcher = await trio.lowlevel.open_process(
            ["/bin/sh", "-c", LAUNCHER, f"{module}-launcher", str(log_path), *command],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,  # the shell would print "Killed" there
            env=environ,
            pass_fds=(writing,),
            # In a session of its own it does not get the SIGINT of the terminal.
            start_new_session=True,
        )
    finally:
        os.close(writing)
    child = Child(name, log_path, launcher, output)
    try:
        assert launcher.stdout is not None  # noqa: S101  # a pipe by the call above
        child.pid = int(await _first_line(launcher.stdout))
        yield child
    finally:
        with trio.CancelScope(shield=True):
            await child.stop()
            if launcher.stdout is not None:
                await launcher.stdout.aclose()


async def _first_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = await stream.receive_some(64)
        if not piece:
            raise CliFailure("A process could not be started: /bin/sh ended.")
        line += piece
    return line
