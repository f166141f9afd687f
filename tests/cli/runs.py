"""Running the command line as people do: as a process of its own."""

import os
from pathlib import Path

import trio

from tests.cli.fake_service import TOKEN, FakeService
from tests.support.forked import Ended, ForkedProcess, open_forked, run_forked


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing is set, and nothing of the person's own is read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCH_")}
    root = str(Path(__file__).parents[2])
    return {**kept, "HOME": str(home), "PYTHONPATH": root, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", **more}


async def run_cli(home: Path, *arguments: str, given: str = "", **environ: str) -> Ended:
    """Run `nooble-orch` in the directory `home`, within half a minute."""
    with trio.fail_after(30):
        return await run_forked(
            "cli", *arguments, environ=environment(home, **environ), directory=home, given=given.encode()
        )


async def start_cli(home: Path, *arguments: str, **environ: str) -> ForkedProcess:
    """Start `nooble-orch`, its output in pipes."""
    return await open_forked("cli", *arguments, environ=environment(home, **environ), directory=home, tells_errors=True)


def target(fake: FakeService) -> dict[str, str]:
    """Return the environment that points commands at a fake."""
    return {"ORCH_API_URL": fake.url, "ORCH_TOKEN": TOKEN, "ORCH_TENANT": "acme"}


async def close_pipes(process: ForkedProcess) -> None:
    """Close the pipes of a process that has ended."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await stream.aclose()
