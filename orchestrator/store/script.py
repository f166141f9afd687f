"""Lua scripts: read from the package, sent by their digest, loaded where the server does not know them.

A script is its content: two versions of the service have different digests, and run side by side on one server.

A script whose first line is `#!lua flags=allow-oom` runs also where Redis is out of memory: it ends what is in hand, or
hands it on. All others are refused then before they have written anything.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import structlog
import trio

from orchestrator.store.redis.backoff import Backoff
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.errors import NotPermitted, RedisAway, ScriptMissing
from orchestrator.store.redis.joined import Common, Part
from orchestrator.store.script_source import ROOT, read_source

LOAD_SECONDS: Final = 10.0
"""How long the start of a process waits for a server that refuses, or breaks off."""
_log = structlog.get_logger()


class Script:
    """A script.

    Args:
        name: of its folder and file, without `.lua`: `attempts/claim`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = read_source(name)
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, redis: Redis, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run the script.

        Raises:
            RedisAway, TenantDamaged
        """
        try:
            return await redis.execute_command(*self.command(keys, args))
        except ScriptMissing:
            return await redis.execute_command("EVAL", self.source, len(keys), *keys, *args)

    async def join(
        self,
        redis: Redis,
        *,
        keys: Sequence[str],
        args: Sequence[Any],
        own_keys: Sequence[str] = (),
        own_args: Sequence[Any],
    ) -> Any:
        """Run the script for one subject of several: those that are asked for at the same moment share a run.

        Args:
            redis: the connection.
            keys: those that all of them have.
            args: the same.
            own_keys: those of this one, which come behind.
            own_args: the same.

        Returns:
            What the script has replied to this one.

        Raises:
            RedisAway, TenantDamaged
        """
        part = Part(own_keys, own_args)
        try:
            return await redis.run_joined(Common(self.digest, tuple(keys), tuple(args)), part)
        except ScriptMissing:
            every_key = (*keys, *own_keys)
            arguments = (len(every_key), *every_key, *args, *own_args)
            (reply,) = await redis.execute_command("EVAL", self.source, *arguments)
            if isinstance(reply, Exception):
                raise reply from None
            return reply

    def command(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Return the command that runs the script, to send it with others; `ScriptMissing` where it was never sent."""
        return "EVALSHA", self.digest, len(keys), *keys, *args


def all_scripts() -> list[Script]:
    """Return every script of the package."""
    folders = sorted(entry.name for entry in ROOT.iterdir() if entry.is_dir() and entry.name != "lib")
    return [
        Script(f"{folder}/{name.removesuffix('.lua')}")
        for folder in folders
        for name in sorted(entry.name for entry in (ROOT / folder).iterdir())
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
