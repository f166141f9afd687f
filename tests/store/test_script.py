"""Scripts of the package, as a server runs them."""

import hashlib
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from itertools import takewhile

import pytest
import trio
from trio.testing import MockClock

from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.redis.errors import RedisAway
from orchestrator.store.script import Script, all_scripts, load_scripts

ROOT = files("orchestrator.store") / "scripts"


def text_of(name: str) -> str:
    """A script, or a part that scripts include, as it is in its file."""
    return (ROOT / f"{name}.lua").read_text(encoding="utf-8")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


async def test_the_server_compiles_every_script_under_the_digest_we_compute(redis: Redis) -> None:
    await redis.script_flush()
    await load_scripts(redis)
    digests = [script.digest for script in all_scripts()]
    assert len(digests) == len(set(digests)) > 10
    assert await redis.gather([("SCRIPT", "EXISTS", *digests)]) == [[1] * len(digests)]


async def test_a_script_that_the_server_has_forgotten_is_sent_again(redis: Redis) -> None:
    script, keys, args = Script("sessions/rate_limit"), ["queue", "tenant", "user"], ["acme", 10, 10, 10, 5, 1]
    await redis.script_flush()
    assert await redis.script_exists(script.digest) == [False]
    assert (await script(redis, keys=keys, args=args))[0] == 1
    assert await redis.script_exists(script.digest) == [True]
    commands = redis.counters.commands
    assert (await script(redis, keys=keys, args=args))[0] == 1
    assert redis.counters.commands == commands + 1


def test_a_digest_is_that_of_the_text() -> None:
    for script in all_scripts():
        assert script.digest == hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()


def test_every_script_says_what_it_is_for() -> None:
    for script in all_scripts():
        lines = script.source.splitlines()
        if lines[0] == "#!lua flags=allow-oom":
            del lines[0]
        assert lines[0].startswith("-- ")
        for part in ("KEYS:", "ARGV:", "Returns:", "Complexity:"):
            assert any(line.startswith(f"-- {part}") for line in lines), (script.name, part)


def test_every_script_names_its_keys_and_arguments_before_it_uses_them() -> None:
    for script in all_scripts():
        lines = text_of(script.name).splitlines()
        code = [line for line in lines if line and not line.startswith(("--", "#!"))]
        used = [line for line in code if re.search(r"(ARGV|KEYS)\[\d+\]", line)]
        leading = list(takewhile(lambda line: line.startswith("local "), code))
        assert [line for line in used if line not in leading] == [], script.name
        header = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("-- Complexity:"))])
        first = 3 if "common/tenant" in text_of(script.name) else 1
        for number in {int(found) for line in used for found in re.findall(r"ARGV\[(\d+)\]", line)}:
            assert number >= first
            assert re.search(rf"\b{number}\b", header), (script.name, number)


def test_a_part_that_scripts_include_takes_no_arguments_of_theirs() -> None:
    for folder in (ROOT / "lib").iterdir():
        for file in folder.iterdir():
            if file.name != "tenant.lua":
                assert not re.search(r"(ARGV|KEYS)", file.read_text(encoding="utf-8")), file.name


class Refusing:
    """A server that does not serve until a moment."""

    def __init__(self, until: float) -> None:
        self._until = until
        self.loaded = 0

    async def gather(self, commands: list[tuple[str, ...]]) -> None:
        await trio.lowlevel.checkpoint()
        if trio.current_time() < self._until:
            raise RedisAway("the server refuses: LOADING", sent=False)
        self.loaded = len(commands)


async def test_loading_waits_for_a_server_that_refuses(autojump_clock: MockClock) -> None:
    server = Refusing(trio.current_time() + 5)
    await load_scripts(server)  # type: ignore[arg-type] # only this command of it is used
    assert server.loaded == len(all_scripts())
    assert trio.current_time() <= 8


async def test_loading_gives_up_after_ten_seconds(autojump_clock: MockClock) -> None:
    with pytest.raises(RedisAway, match="LOADING"):
        await load_scripts(Refusing(float("inf")))  # type: ignore[arg-type] # only this command of it is used
    assert 10 <= trio.current_time() <= 13
