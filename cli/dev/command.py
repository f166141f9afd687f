"""`dev`: a development stack on this machine, and a chat with it."""

import os
import signal
import sys
from pathlib import Path
from typing import Final

import click
import trio

from cli.core.completion import complete_agents
from cli.core.context import Target, chosen_data_dir, find_target, target_of
from cli.core.devfile import DATA_DIR, DevStack
from cli.core.failures import CliFailure, Exit
from cli.core.interrupts import run_trio, until_signalled
from cli.core.options import target_options
from cli.core.output import note
from cli.core.selection import current_options
from cli.core.terminal import with_piped
from cli.dev.plan import make_plan
from cli.dev.stack import run_stack
from orchestrator.sandbox.serving.examples import CHAT_PAGE

PORT: Final = 8000


@click.command()
@click.option("-m", "--message", metavar="TEXT", help="Send this message, stream the answer, and stop.")
@click.option(
    "--agent", metavar="AGENT", help="Agent of the chat; default: docs-guide.", shell_complete=complete_agents
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=PORT,
    show_default=True,
    help="Port of the service; 0: a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Number of processes of the service."
)
@click.option("--no-chat", is_flag=True, help="Serve until a signal comes, also on a terminal.")
@click.option("-y", "--yes", is_flag=True, help="With -m: confirm the actions of the agent.")
@target_options
def dev(message: str | None, agent: str | None, port: int, workers: int, *, no_chat: bool, yes: bool) -> int:
    """Start Redis, the sandbox and the service on this machine, and a chat.

    All processes end with this command; the data directory keeps their data. Without a terminal, the stack serves
    until a signal comes, and prints one line 'ready http://...'. A downstream service whose ORCH_SERVICES__..._URL is
    set is used instead of its stand-in in the sandbox.

    \b
    Example:
      nooble-orch dev -m "How do I drain a tenant?"
    """
    given = current_options()
    if given.redis_url or given.api_url:
        hint = "Omit --redis-url and --api-url, or use 'serve' and 'chat'."
        raise CliFailure("'dev' starts a Redis and a service of its own.", hint, Exit.USAGE)
    tenant, data_dir = find_target().tenant, chosen_data_dir() or DATA_DIR
    message = None if message is None else with_piped(message)
    plan = make_plan(_absolute(data_dir), _port(port, message), workers)

    serving = False

    async def use(stack: DevStack) -> int:
        nonlocal serving
        if message is None and (no_chat or not sys.stdin.isatty() or not sys.stdout.isatty()):
            serving = True
            # One write, so that a program that waits for the line never reads a part of it.
            sys.stdout.write(f"ready {stack.api_url}\n")
            sys.stdout.flush()
            await trio.sleep_forever()
        if message is None:
            _introduce(stack)
        # A stack that only serves needs no chat, and at the top the import would slow down the start of the processes.
        from cli.chat.request import ChatRequest  # noqa: PLC0415 - as its neighbour
        from cli.chat.session import run_chat  # noqa: PLC0415 - imported only after the processes have started

        return await run_chat(
            _target(stack, tenant), ChatRequest(agent_id=agent, message=message, yes=yes, owns_stack=True)
        )

    # During a chat, the chat handles Ctrl-C.
    result = run_trio(until_signalled, lambda: run_stack(plan, os.getpid(), use, alone=message is not None))
    if isinstance(result, signal.Signals):
        result = Exit.INTERRUPTED if result is signal.SIGINT else Exit.DONE
    if result == Exit.INTERRUPTED and message is None:
        note(f"Stopped; the data is kept in {data_dir}.")
        # SIGINT is the usual end of a stack that only serves.
        return Exit.DONE if serving else Exit.INTERRUPTED
    return result


def _absolute(data_dir: Path) -> Path:
    try:
        return data_dir.resolve()
    except FileNotFoundError:
        message = "The working directory does not exist any more."
        raise CliFailure(message, "Go to another one, or name an absolute --data-dir.", Exit.USAGE) from None


def _port(port: int, message: str | None) -> int:
    """Return the port of the service; for a single message a free one by default, as another stack may be running."""
    source = click.get_current_context().get_parameter_source("port")
    return 0 if message is not None and source is click.core.ParameterSource.DEFAULT else port


def _target(stack: DevStack, tenant: str) -> Target:
    if tenant and tenant not in stack.tenants:
        raise CliFailure(f"The sandbox has no tenant '{tenant}'.", f"It has {', '.join(stack.tenants)}.", Exit.USAGE)
    return target_of(stack, tenant)


def _introduce(stack: DevStack) -> None:
    note(f"service  {stack.api_url}  (API: {stack.api_url}/docs)")
    note(f"console  {stack.api_url}/console")
    note(f"sandbox  {stack.sandbox_url or 'not needed: every service has a URL'}")
    if stack.sandbox_url:
        note(f"page     {stack.sandbox_url}/{CHAT_PAGE}#api={stack.api_url}")
    note(f"redis    redis://***@{stack.redis_url.rpartition('@')[2]}")
    note("token    $(nooble-orch token create --tenant acme --user me)")
