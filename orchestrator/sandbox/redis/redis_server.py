"""A real Redis as a child process, which ends with its parent."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from orchestrator.sandbox.redis.data_lock import DataDirInUse, data_lock
from orchestrator.sandbox.redis.redis_binary import NoRedisServer, RedisBinary, find_redis_binary
from orchestrator.sandbox.redis.redis_launch import RedisLaunch, clean_up, popen_options, prepare_launch

__all__ = ["DataDirInUse", "NoRedisServer", "RedisDidNotStart", "RedisServer", "run_redis"]

STOP_PATIENCE: Final = 10.0


class RedisDidNotStart(Exception):
    """Redis ended, or did not answer; the message has the end of its log."""


class RedisServer:
    """A local Redis that can be killed and started again, at the same addresses."""

    def __init__(self, launch: RedisLaunch, lock: int, start_timeout: float) -> None:
        self._launch = launch
        self._lock = lock
        self._start_timeout = start_timeout
        self._launcher: trio.Process | None = None
        self.pid = 0
        self._password = ""

    @property
    def url(self) -> str:
        """The address of its unix socket: `unix:///…`."""
        return self._with_password(self._launch.url)

    async def set_password(self, password: str) -> None:
        """Have the server that runs ask for a password, which its addresses hold from now on.

        It is told over the socket, and stands neither in an argument nor in a file.
        """
        async with await trio.open_unix_socket(self._launch.socket_path) as stream:
            await stream.send_all(f"CONFIG SET requirepass {password}\r\n".encode())
            answer = await _read_line(stream)
        if answer != b"+OK\r\n":
            raise RedisDidNotStart(f"Redis takes no password: {answer.decode(errors='replace').strip()}")
        self._password = password

    def _with_password(self, url: str) -> str:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://:{self._password}@{rest}" if self._password else url

    @property
    def tcp_url(self) -> str:
        """The address of its loopback port: `redis://127.0.0.1:…/0`."""
        return self._with_password(self._launch.tcp_url)

    @property
    def port(self) -> int:
        """Its loopback port."""
        return self._launch.port

    @property
    def binary(self) -> RedisBinary:
        """The executable, and its version."""
        return self._launch.binary

    async def start(self) -> None:
        """Start the server and wait until it answers; `started` means ready.

        Raises:
            RedisDidNotStart: it ended, or did not answer in time.
        """
        launcher = await trio.lowlevel.open_process(
            self._launch.command, stdin=PIPE, stdout=PIPE, **popen_options(self._lock)
        )
        self._launcher = launcher
        try:
            with trio.fail_after(self._start_timeout):
                assert launcher.stdout is not None  # noqa: S101  # asked for just above
                self.pid = int(await _read_line(launcher.stdout))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._fail_when_it_ends, launcher)
                    await _wait_until_ready(self._launch.socket_path)
                    nursery.cancel_scope.cancel()
        except BaseException as error:
            await self._end(signal.SIGKILL)
            if isinstance(error, Exception):
                raise RedisDidNotStart(f"Redis did not start. Its log ends with: {self._log_end()}") from error
            raise

    async def wait(self) -> int:
        """Wait until the server ends, and return its exit status."""
        return 0 if self._launcher is None else await self._launcher.wait()

    async def kill(self) -> None:
        """Kill the server, as a power cut would: without a last write."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop the server with everything written; kill it where that takes longer than ten seconds."""
        with trio.move_on_after(STOP_PATIENCE):
            await self._end(signal.SIGTERM)
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        launcher = self._launcher
        if launcher is None:
            return
        if self.pid:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)
        assert launcher.stdin is not None  # noqa: S101  # asked for in start()
        if number is signal.SIGKILL:
            await launcher.stdin.aclose()  # the launcher kills it too, if we never learned the pid
        with trio.CancelScope(shield=number is signal.SIGKILL):
            await launcher.wait()
        await launcher.stdin.aclose()
        if launcher.stdout is not None:
            await launcher.stdout.aclose()
        self._launcher = None
        self.pid = 0

    async def _fail_when_it_ends(self, launcher: trio.Process) -> None:
        raise RedisDidNotStart(f"Redis ended with status {await launcher.wait()}")

    def _log_end(self) -> str:
        lines = self._launch.log_path.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "(nothing)"


@asynccontextmanager
async def run_redis(
    data_dir: Path,
    *,
    port: int = 0,
    appendonly: bool = True,
    fsync: str = "everysec",
    extra: Sequence[str] = (),
    start_timeout: float = 30.0,
) -> AsyncIterator[RedisServer]:
    """Run a local Redis inside the block.

    It ends with the block, and also when this process is killed.

    Args:
        data_dir: holds its append-only files, log and lock; a server stopped there goes on where it was.
        port: its loopback port; 0 takes a free one.
        appendonly: whether writes are kept on disk.
        fsync: when they are forced to disk: `always`, `everysec` or `no`.
        extra: further arguments of `redis-server`, such as `("--maxmemory", "64mb")`.
        start_timeout: how long it may take to load its data, in seconds.

    Raises:
        NoRedisServer: no recent `redis-server` is installed.
        DataDirInUse: another stack runs there.
        RedisDidNotStart: it ended, or did not answer in time.
    """
    binary = await trio.to_thread.run_sync(find_redis_binary)
    async with data_lock(data_dir) as lock:
        launch = prepare_launch(binary, data_dir, port=port, appendonly=appendonly, fsync=fsync, extra=tuple(extra))
        server = RedisServer(launch, lock, start_timeout)
        try:
            await server.start()
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await server.stop()
            clean_up(launch)


async def _read_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = await stream.receive_some(64)
        if not piece:
            raise RedisDidNotStart("the launcher ended")
        line += piece
    return line


async def _wait_until_ready(socket_path: Path) -> None:
    """Return when the server answers PING; while it loads its data it refuses to."""
    # The caller holds the deadline.
    while not await _answers_ping(socket_path):  # noqa: ASYNC110  # nothing tells of a socket that is not there yet
        await trio.sleep(0.005)


async def _answers_ping(socket_path: Path) -> bool:
    try:
        async with await trio.open_unix_socket(socket_path) as stream:
            await stream.send_all(b"*1\r\n$4\r\nPING\r\n")
            return await _read_line(stream) == b"+PONG\r\n"
    except (OSError, trio.BrokenResourceError, RedisDidNotStart):
        return False
