"""Launch of a local Redis: its arguments, its addresses, and a launcher that ends it with its parent.

Redis runs under a launcher, a few lines of `sh` that hold the reading end of a pipe. The parent process holds the only
writing end; when it ends, in any way, the pipe closes and the launcher kills Redis. This needs no signal from a dying
process, and does not depend on the thread that started it.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from orchestrator.sandbox.ports import free_port
from orchestrator.sandbox.redis.redis_binary import RedisBinary

# $1 is the log, the rest the command. Prints the pid of Redis, and ends with its status.
LAUNCHER: Final = """
log=$1; shift; exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- & redis=$!
( read -r _ <&3; kill -9 $redis ) </dev/null >/dev/null 2>&1 & watcher=$!
echo $redis; exec >/dev/null 3<&-
wait $redis; status=$?
kill $watcher 2>/dev/null
exit $status
"""

# sockaddr_un holds 108 bytes on Linux and 104 elsewhere, with the closing zero.
SOCKET_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103


@frozen
class RedisLaunch:
    """All that is needed to start one local Redis, with `subprocess` or with trio."""

    binary: RedisBinary
    data_dir: Path
    socket_path: Path
    port: int
    options: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address of the unix socket."""
        return f"unix://{self.socket_path}"

    @property
    def tcp_url(self) -> str:
        """The address of the loopback port."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log_path(self) -> Path:
        """Log file of Redis."""
        return self.data_dir / "redis.log"

    @property
    def command(self) -> list[str]:
        """The launcher's arguments; give it a pipe as standard input, and read the pid from its output."""
        return ["/bin/sh", "-c", LAUNCHER, "redis-launcher", str(self.log_path), *self._server_command()]

    def _server_command(self) -> list[str]:
        return [
            str(self.binary.path),
            *("--bind", "127.0.0.1", "--port", str(self.port)),
            *("--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
            *("--dir", str(self.data_dir), "--daemonize", "no", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *self.options,
        ]


def prepare_launch(
    binary: RedisBinary, data_dir: Path, *, port: int, appendonly: bool, fsync: str, extra: tuple[str, ...]
) -> RedisLaunch:
    """Choose the addresses and the arguments; makes `data_dir` where it is missing.

    Args:
        binary: the server.
        data_dir: where the append-only files, the log and (if its path is short enough) the socket go.
        port: the loopback port; 0 takes a free one.
        appendonly: whether writes are kept on disk.
        fsync: `always`, `everysec` or `no`.
        extra: further arguments of `redis-server`.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    socket_path = data_dir / "redis.sock"
    if len(bytes(socket_path)) > SOCKET_PATH_BYTES:
        socket_path = Path(tempfile.mkdtemp(prefix="nooble-redis-")) / "redis.sock"
    return RedisLaunch(
        binary=binary,
        data_dir=data_dir,
        socket_path=socket_path,
        port=port or free_port(),
        options=("--appendonly", "yes" if appendonly else "no", "--appendfsync", fsync, *extra),
    )


def clean_up(launch: RedisLaunch) -> None:
    """Remove the socket, and the directory that was made for it alone."""
    launch.socket_path.unlink(missing_ok=True)
    if launch.socket_path.parent != launch.data_dir:
        launch.socket_path.parent.rmdir()


def popen_options(lock: int) -> dict[str, Any]:
    """Return what `subprocess.Popen` needs beside the command and the pipes.

    Args:
        lock: descriptor that locks the data directory. Redis inherits it, so that the lock is held for as long as Redis
            may write there, even after the death of the parent.
    """
    # A session of its own: Ctrl-C on the terminal reaches us alone, and Redis outlives our orderly stop.
    return {"start_new_session": True, "pass_fds": (lock,)}
