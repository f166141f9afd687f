"""Scripts of the package, as a server runs them."""

import hashlib
import re
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest

from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.script import Script, all_scripts, load_scripts


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


def test_included_text_stands_in_place_of_its_line() -> None:
    root = files("orchestrator.store") / "scripts"
    for script in all_scripts():
        text = (root / f"{script.name}.lua").read_text(encoding="utf-8")
        for name in re.findall(r"^--!include (\w+)$", text, re.MULTILINE):
            lines = (root / "lib" / f"{name}.lua").read_text(encoding="utf-8").splitlines()
            assert [line for line in lines if not line.startswith("--")][-1] in script.source
        assert "--!include" not in script.source
        assert script.digest == hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()


def test_every_script_says_what_it_is_for() -> None:
    for script in all_scripts():
        lines = script.source.splitlines()
        assert lines[0].startswith("-- ")
        for part in ("KEYS:", "ARGV:", "Returns:", "Complexity:"):
            assert any(line.startswith(f"-- {part}") for line in lines), (script.name, part)
