"""A terminal for tests: 24 lines of 80 columns, what is typed, and what is seen."""

import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.cli.runs import environment

# A process gets Ctrl-C from a terminal only if it is its controlling one, which only the process itself can make it.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
# Escape sequences, carriage returns, and the spaces that fill the lines of drawn markdown.
PATIENCE = 60.0
"""Seconds that the command may take, a start of the whole stack included; only a test that fails ever waits so long."""
_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r| {20,}\n?")


class Terminal:
    """The person's side of it."""

    def __init__(self, master: trio.lowlevel.FdStream, process: trio.Process, slave: int) -> None:
        self._master = master
        self._slave = slave
        self.process = process
        self.seen = ""
        """Everything so far, without escape sequences and fillings."""
        self._raw = b""
        self._read_to = 0

    async def see(self, text: str) -> str:
        """Wait for `text` to appear after what was last waited for; returns what came before it."""
        with trio.move_on_after(PATIENCE):
            while (found := self.seen.find(text, self._read_to)) < 0:
                try:
                    piece = await self._master.receive_some()
                except (OSError, trio.BrokenResourceError):
                    piece = b""
                if not piece:
                    raise AssertionError(f"the terminal ended without {text!r}: {self.seen!r}")
                self._raw += piece
                self.seen = _shown(self._raw)
            before, self._read_to = self.seen[self._read_to : found], found + len(text)
            return before
        raise AssertionError(f"no {text!r} in {self.seen[self._read_to :]!r}; before: {self.seen[: self._read_to]!r}")

    async def type(self, text: str) -> None:
        """Press keys."""
        await self._master.send_all(text.encode())

    async def enter(self, line: str) -> None:
        """Type a line."""
        await self.type(f"{line}\r")

    async def end(self) -> int:
        """Wait for the process to end, and return its exit code."""
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain)
                code = await self.process.wait()
                nursery.cancel_scope.cancel()
        return code

    def echoes(self) -> bool:
        """Whether the terminal is as it was: lines are edited and shown by the terminal itself, Ctrl-C is a signal."""
        attributes = termios.tcgetattr(self._slave)
        wanted = termios.ECHO | termios.ICANON | termios.ISIG
        return bool(attributes[3] & wanted == wanted and attributes[6][termios.VINTR] == b"\x03")

    async def _drain(self) -> None:
        try:
            while piece := await self._master.receive_some():
                self._raw += piece
                self.seen = _shown(self._raw)
        except (OSError, trio.BrokenResourceError):
            return


def _shown(raw: bytes) -> str:
    return _NOISE.sub(lambda noise: "\n" if noise[0].startswith(" ") else "", raw.decode(errors="replace"))


@asynccontextmanager
async def open_terminal(home: Path, *arguments: str, **environ: str) -> AsyncIterator[Terminal]:
    """Run `nooble-orch` at a terminal inside the block; what still runs at its end is killed."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", _TAKE_TERMINAL, sys.executable, "-m", "cli", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=home,
        env=environment(home, **({"TERM": "xterm"} | environ)),
    )
    stream = trio.lowlevel.FdStream(master)
    try:
        yield Terminal(stream, process, slave)
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await stream.aclose()
        os.close(slave)
