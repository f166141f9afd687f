"""Running the command line as people do: as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import trio
from attrs import frozen

from tests.cli.fake_service import TOKEN, FakeService


@frozen
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing is set, and nothing of the person's own is read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    root = str(Path(__file__).parents[2])
    return {**kept, "HOME": str(home), "PYTHONPATH": root, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", **more}


async def run_cli(home: Path, *arguments: str, given: str = "", **environ: str) -> Ended:
    """Run `nooble-orch` in the directory `home`, within half a minute."""
    with trio.fail_after(30):
        done = await trio.run_process(
            [sys.executable, "-m", "cli", *arguments],
            stdin=given.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=home,
            env=environment(home, **environ),
        )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


async def start_cli(home: Path, *arguments: str, **environ: str) -> trio.Process:
    """Start `nooble-orch`, its output in pipes."""
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", "cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home,
        env=environment(home, **environ),
    )


def target(fake: FakeService) -> dict[str, str]:
    """Return the environment that points commands at a fake."""
    return {"ORCH_API_URL": fake.url, "ORCH_TOKEN": TOKEN, "ORCH_TENANT": "acme"}


async def close_pipes(process: trio.Process) -> None:
    """Close the pipes of a process that has ended."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await stream.aclose()
