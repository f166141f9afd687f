"""`events` follows a tenant while the process that it follows is killed, and comes back."""

from pathlib import Path
from typing import Any

import trio

from orchestrator.models.common.principal import Role
from tests.cli.commands.test_events import Followed
from tests.cli.runs import close_pipes, start_cli
from tests.end_to_end.stack import Stack, open_stack


async def begun(stack: Stack, events: Followed) -> list[str]:
    """Create sessions until one is told of; returns those behind it."""
    made: list[str] = []
    told: list[dict[str, Any]] = []

    async def hear() -> None:
        told.append(await events.line())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        while not told:
            made.append(await stack.session())
    return made[made.index(told[0]["id"]) + 1 :]


async def test_what_happens_while_the_followed_process_is_gone_comes_once_and_in_order(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        followed = await stack.start()
        await stack.start()
        environ = {"ORCH_API_URL": followed.url, "ORCH_TOKEN": stack.token(role=Role.OPERATOR)}
        process = await start_cli(tmp_path, "events", **environ)
        try:
            events = Followed(process)
            made = await begun(stack, events)
            for step in range(12):
                if step == 4:
                    await followed.kill()
                if step == 8:
                    await stack.start("--bind", followed.url.removeprefix("http://"))
                made.append(await stack.session())
            assert [(await events.line())["id"] for _ in made] == made
        finally:
            process.kill()
            await process.wait()
            await close_pipes(process)
