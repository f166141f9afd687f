"""A process that has loaded the service and the command, and becomes either of them by a fork.

    python -m tests.support.fork_server DESCRIPTOR MODULE…

A start takes one to two seconds of the processor, nearly all of it for imports, and the tests start hundreds. The
descriptor is a socket: each message is a number of bytes and so many of JSON, a `Program`, with four descriptors:
standard input, output and error, and a pipe that is told the id of the process and, once it has ended, its status. The
end of the socket is the end of all processes.
"""

import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Final, NoReturn, Self

NUMBER: Final = struct.Struct("i")
_DESCRIPTORS: Final = 4


@dataclass(frozen=True)
class Program:
    """What a process is to be."""

    module: str
    """Run as `python -m` does."""
    arguments: list[str]
    environ: dict[str, str]
    directory: str

    def ask(self, control: socket.socket, descriptors: list[int]) -> None:
        """Have the server at the other end of a socket fork a process that is this program."""
        written = json.dumps(asdict(self)).encode()
        socket.send_fds(control, [NUMBER.pack(len(written))], descriptors)
        control.sendall(written)

    @classmethod
    def asked(cls, control: socket.socket) -> tuple[Self, list[int]] | None:
        """Return what is asked for, and its descriptors; None: nothing will be any more."""
        length, given, *_ = socket.recv_fds(control, NUMBER.size, _DESCRIPTORS)
        if not length:
            return None
        (size,) = NUMBER.unpack(length)
        written = control.recv(size, socket.MSG_WAITALL)
        return cls(**json.loads(written)), given

    def run(self) -> NoReturn:
        """Be it, in a process that was forked for it."""
        os.chdir(self.directory)
        os.environ.clear()
        os.environ.update(self.environ)
        sys.argv = [self.module, *self.arguments]
        sys.stdin = os.fdopen(0, "r", closefd=False)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
            code: object = 0
        except SystemExit as ended:
            code = ended.code
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:  # noqa: BLE001 - the end of the program: told as an interpreter tells it
            traceback.print_exc()
            code = 1
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
        # An interpreter takes apart all that it has loaded, which takes longer than most commands.
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else code is not None)


def serve(control: socket.socket) -> Program | None:
    """Fork as asked; returns the program in each new process, and None at the end in the server."""
    ends: dict[int, int] = {}
    woken, wake = socket.socketpair()
    for one in (woken, wake):
        one.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        for one in (control, woken):
            selector.register(one, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4096)
                _reap(ends)
            if control not in ready:
                continue
            asked = Program.asked(control)
            if asked is None:
                break
            program, given = asked
            pid = os.fork()
            if not pid:
                _forget(selector, [control, woken, wake], [*ends.values()])
                _take(given)
                return program
            ends[pid] = given.pop()
            os.write(ends[pid], NUMBER.pack(pid))
            for number in given:
                os.close(number)
    for pid in ends:
        os.kill(pid, signal.SIGKILL)
    return None


def _reap(ends: dict[int, int]) -> None:
    while ends:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        end = ends.pop(pid)
        os.write(end, NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os.close(end)


def _forget(selector: selectors.BaseSelector, sockets: list[socket.socket], ends: list[int]) -> None:
    """Leave what is the server's, in a new process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    selector.close()
    for one in sockets:
        one.close()
    for number in ends:
        os.close(number)


def _take(given: list[int]) -> None:
    """Make descriptors standard input, output and error; the pipe is the server's alone."""
    for place, number in enumerate(given[:3]):
        os.dup2(number, place)
    for number in given:
        os.close(number)


def main(descriptor: str, *modules: str) -> None:
    """Load modules, and serve."""
    for name in modules:
        import_module(name)
    gc.collect()
    gc.freeze()
    program = serve(socket.socket(fileno=int(descriptor)))
    if program is not None:
        program.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
