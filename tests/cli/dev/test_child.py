"""Processes of the stack: ready when they say so, gone when we are."""

import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from cli.core.failures import CliFailure
from cli.dev import child as child_module
from cli.dev.child import Child, run_child
from tests.cli.runs import environment
from tests.support.eventually import PATIENCE


def start(ways: str, home: Path) -> AbstractAsyncContextManager[Child]:
    return run_child(
        "thing", "tests.cli.dev.child_process", [ways], log_path=home / "thing.log", environ=environment(home)
    )


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_tells_when_it_is_ready_and_is_gone_after_the_block(tmp_path: Path) -> None:
    async with start("serves", tmp_path) as child:
        assert await child.ready() == "http://127.0.0.1:1"
        assert is_alive(child.pid)
    assert not is_alive(child.pid)


async def test_one_that_breaks_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with start("breaks", tmp_path) as child:
        with pytest.RaisesGroup(pytest.RaisesExc(CliFailure, match="The thing ended with status 1")) as caught:
            await child.ready()
    failure = caught.value.exceptions[0]
    assert isinstance(failure, CliFailure)
    assert failure.hint == f"{tmp_path}/thing.log ends with:\n  first line\n  the reason"


async def test_one_that_is_killed_later_is_told_too(tmp_path: Path) -> None:
    async with start("serves", tmp_path) as child:
        await child.ready()
        os.kill(child.pid, signal.SIGKILL)
        with trio.fail_after(PATIENCE), pytest.RaisesGroup(pytest.RaisesExc(CliFailure, match="ended with status 137")):
            await child.watch()


async def test_one_that_prints_much_is_never_held_up(tmp_path: Path) -> None:
    async with start("talks", tmp_path) as child:
        await child.ready()
        with trio.fail_after(PATIENCE), pytest.RaisesGroup(CliFailure):
            await child.watch()
    assert (tmp_path / "thing.log").read_text() == "talked\n"


async def test_one_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "STOP_SECONDS", 0.1)
    async with start("is stubborn", tmp_path) as child:
        await child.ready()
    assert not is_alive(child.pid)


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    with trio.move_on_after(0.2):
        async with start("serves", tmp_path) as child:
            await trio.sleep_forever()
    assert not is_alive(child.pid)
