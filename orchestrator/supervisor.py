"""Several workers on one port: each a process of its own, started again when it dies.

A worker's standard input is a pipe that ends with the supervisor, however that ends: then the worker stops by itself.
"""

import signal
import socket
import subprocess
import sys
from typing import Final

import structlog
import trio

_log = structlog.get_logger()

_RESTART_SECONDS: Final = 1.0


async def supervise(
    arguments: list[str], workers: int, *, grace: float, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run `workers` processes until a signal comes, then stop them in order.

    Args:
        arguments: of `python -m orchestrator`, for one worker.
        workers: how many.
        grace: seconds that a worker may take to stop before it is killed.
    """
    async with trio.open_nursery() as nursery:
        stopping = trio.Event()
        nursery.start_soon(_watch_signals, stopping, nursery.cancel_scope)
        async with trio.open_nursery() as running:
            for _ in range(workers):
                await running.start(_keep_running, arguments, stopping, grace)
            task_status.started()
        nursery.cancel_scope.cancel()


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind a port that several processes share (SO_REUSEPORT).

    The supervisor keeps it as it is, so that the port stays theirs; a worker listens on its own.

    Raises:
        OSError: the port is taken.
    """
    reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # Connections of a server that has just ended would keep the port for a minute.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except BaseException:
        reserved.close()
        raise
    return reserved


async def _watch_signals(stopping: trio.Event, everything: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if stopping.is_set():
                everything.cancel()
                return
            stopping.set()


async def _keep_running(
    arguments: list[str], stopping: trio.Event, grace: float, *, task_status: trio.TaskStatus[None]
) -> None:
    started = False
    while not stopping.is_set():
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "orchestrator", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            if await _becomes_ready(process) and not started:
                started = True
                task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_stop_when, stopping, process, grace)
                code = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
        if not started:
            raise SystemExit(code or 1)
        if not stopping.is_set():
            _log.error("worker.died", pid=process.pid, code=code)
            with trio.move_on_after(_RESTART_SECONDS):
                await stopping.wait()


async def _becomes_ready(process: trio.Process) -> bool:
    """Read a worker's output up to its line `ready …`; false if it ends before."""
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    read = b""
    async for chunk in process.stdout:
        read += chunk
        if b"ready " in read and read.endswith(b"\n"):
            return True
    return False


async def _stop_when(stopping: trio.Event, process: trio.Process, grace: float) -> None:
    await stopping.wait()
    process.terminate()
    await trio.sleep(grace)
    process.kill()
