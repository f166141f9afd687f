"""`dev`: everything on this machine."""

import os
import signal
import sys
from pathlib import Path
from typing import Final

import click
import trio

from cli.core.completion import complete_agents
from cli.core.context import Target, find_target
from cli.core.devfile import DATA_DIR, DevStack
from cli.core.failures import CliFailure, Exit
from cli.core.interrupts import run_trio, until_signalled
from cli.core.options import target_options
from cli.core.output import note
from cli.core.selection import current_options
from cli.dev.plan import make_plan
from cli.dev.stack import run_stack

PORT: Final = 8000


@click.command()
@click.option("-m", "--message", metavar="TEXT", help="Ask this once, stream the answer, and stop.")
@click.option("--agent", metavar="AGENT", help="Whom to ask; default: docs-guide.", shell_complete=complete_agents)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True, help="Of the service; 0: a free one."
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="Where Redis' files, logs and dev.json are kept.",
)
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Processes of the service.")
@click.option("--no-chat", is_flag=True, help="Serve until signalled, also on a terminal.")
@click.option("-y", "--yes", is_flag=True, help="With -m: confirm what the agent asks to confirm.")
@target_options
def dev(
    message: str | None, agent: str | None, port: int, data_dir: Path, workers: int, *, no_chat: bool, yes: bool
) -> int:
    """Start Redis, the sandbox and the service on this machine, and chat.

    Everything lives and dies with this command; what was stored is kept in the data directory. Without a terminal it
    serves until signalled, and prints one line 'ready http://...'. A service whose ORCH_SERVICES__..._URL is set is
    used instead of the sandbox's.

    \b
    Example:
      nooble-orch dev -m "How do I drain a tenant?"
    """
    given = current_options()
    if given.redis_url or given.api_url:
        hint = "Leave --redis-url and --api-url away, or use 'serve' and 'chat'."
        raise CliFailure("'dev' starts a Redis and a service of its own.", hint, Exit.USAGE)
    tenant = find_target().tenant
    plan = make_plan(data_dir.resolve(), _free_with_message(port, message), workers)

    serving = False

    async def use(stack: DevStack) -> int:
        nonlocal serving
        if message is None and (no_chat or not sys.stdin.isatty() or not sys.stdout.isatty()):
            serving = True
            # In one piece, whatever buffers: somebody waits for this line.
            sys.stdout.write(f"ready {stack.api_url}\n")
            sys.stdout.flush()
            await trio.sleep_forever()
        if message is None:
            _introduce(stack)
        # A stack that only serves needs no chat, and at the top the import would slow down the start of the processes.
        from cli.chat.session import Wish, run_chat  # noqa: PLC0415 - imported only after the processes have started

        return await run_chat(_target(stack, tenant), Wish(agent_id=agent, message=message, yes=yes))

    # While there is a chat, Ctrl-C is the chat's.
    result = run_trio(until_signalled, lambda: run_stack(plan, os.getpid(), use, alone=message is not None))
    if isinstance(result, signal.Signals):
        result = Exit.INTERRUPTED if result is signal.SIGINT else Exit.DONE
    if result == Exit.INTERRUPTED and message is None:
        note(f"Stopped; what was stored is kept in {data_dir}.")
        # To be interrupted is how a stack that serves ends.
        return Exit.DONE if serving else Exit.INTERRUPTED
    return result


def _free_with_message(port: int, message: str | None) -> int:
    """A stack for a single question listens where it disturbs nobody, unless a port was asked for."""
    source = click.get_current_context().get_parameter_source("port")
    return 0 if message is not None and source is click.core.ParameterSource.DEFAULT else port


def _target(stack: DevStack, tenant: str) -> Target:
    name = tenant or next(iter(stack.tenants))
    if name not in stack.tenants:
        raise CliFailure(f"The sandbox has no tenant '{name}'.", f"It has {', '.join(stack.tenants)}.", Exit.USAGE)
    tokens = stack.tenants[name]
    return Target(
        api_url=stack.api_url,
        ws_url=stack.ws_url,
        redis_url=stack.redis_url,
        tenant=name,
        token=tokens["token"],
        operator_token=tokens["admin_token"],
        api_key=stack.api_keys["admin"],
        stack=stack,
    )


def _introduce(stack: DevStack) -> None:
    note(f"service  {stack.api_url}  (API: {stack.api_url}/docs)")
    note(f"sandbox  {stack.sandbox_url or 'not needed: every service has a URL'}")
    note(f"redis    {stack.redis_url}")
    note("token    $(nooble-orch token create --tenant acme --user me)")
