"""Lua scripts: read from the package, sent by their digest, loaded where the server does not know them.

A line `--!include folder/name` stands for `scripts/lib/folder/name.lua`, the first time it is there. A script is its
content: two versions of the service have different digests, and run side by side on one server.

A script whose first line is `#!lua flags=allow-oom` runs also where Redis is out of memory: it ends what is in hand, or
hands it on. All others are refused then before they have written anything.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

import structlog
import trio

from orchestrator.store.redis.backoff import Backoff
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.errors import NotPermitted, RedisAway, ScriptMissing

LOAD_SECONDS: Final = 10.0
"""How long the start of a process waits for a server that refuses, or breaks off."""
_log = structlog.get_logger()
_ROOT: Final = files("orchestrator.store") / "scripts"
_INCLUDE: Final = re.compile(r"^--!include ([\w/]+)$", re.MULTILINE)


class Script:
    """A script.

    Args:
        name: of its folder and file, without `.lua`: `attempts/claim`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = _read(_ROOT / f"{name}.lua")
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run the script.

        Raises:
            RedisAway, TenantDamaged
        """
        try:
            return await redis.execute_command("EVALSHA", self.digest, len(keys), *keys, *args)
        except ScriptMissing:
            return await redis.execute_command("EVAL", self.source, len(keys), *keys, *args)


def all_scripts() -> list[Script]:
    """Return every script of the package."""
    folders = sorted(entry.name for entry in _ROOT.iterdir() if entry.is_dir() and entry.name != "lib")
    return [
        Script(f"{folder}/{name.removesuffix('.lua')}")
        for folder in folders
        for name in sorted(entry.name for entry in (_ROOT / folder).iterdir())
    ]


async def load_scripts(redis: Redis) -> None:
    """Have the server compile every script: the first task need not, and a broken one stops the start.

    Where the user of Redis may not load scripts (SCRIPT), each is sent when it is first wanted.

    Raises:
        RedisAway: the server did not serve within `LOAD_SECONDS`.
        TenantDamaged: a script is broken.
    """
    commands = [("SCRIPT", "LOAD", script.source) for script in all_scripts()]
    backoff, deadline = Backoff(), trio.current_time() + LOAD_SECONDS
    while True:
        try:
            await redis.gather(commands)
        except NotPermitted as refused:
            _log.warning("scripts.not_loaded", error=refused.reason)
        except RedisAway as away:
            if trio.current_time() >= deadline:
                raise
            _log.warning("scripts.not_loaded", error=away.reason)
            await trio.sleep(backoff.next())
            continue
        return


def _read(file: Traversable, included: set[str] | None = None) -> str:
    seen = set() if included is None else included

    def text_of(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return ""
        seen.add(name)
        return _read(_ROOT / "lib" / f"{name}.lua", seen)

    return _INCLUDE.sub(text_of, file.read_text(encoding="utf-8"))
