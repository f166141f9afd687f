"""`chat`: chat with an agent."""

import sys

import click

from cli.chat.request import ANSWER_SECONDS, ChatRequest, is_data
from cli.core.completion import complete_agents, complete_sessions
from cli.core.context import find_target
from cli.core.options import Duration, listing_options
from cli.core.terminal import with_piped


@click.command()
@click.option("--agent", metavar="AGENT", help="Agent; default: docs-guide.", shell_complete=complete_agents)
@click.option("--session", metavar="SESSION", help="Continue this session.", shell_complete=complete_sessions)
@click.option(
    "-c", "--continue", "last", is_flag=True, help="Continue the last session, with --agent the last with it."
)
@click.option("-m", "--message", metavar="TEXT", help="Send this message, and exit after the answer.")
@click.option(
    "--timeout",
    type=Duration(),
    default=ANSWER_SECONDS,
    show_default=True,
    metavar="TIME",
    help="How long an answer is waited for.",
)
@click.option("-y", "--yes", is_flag=True, help="With -m: confirm the actions of the agent.")
@listing_options
def chat(agent: str | None, session: str | None, message: str | None, timeout: float, *, last: bool, yes: bool) -> int:
    """Chat with an agent. Ctrl-C cancels an answer, /help lists the commands of the chat.

    What comes in a pipe is the message, or follows the one of -m. With -o json the finished answer is JSON, with
    -o jsonl each event is. What keeps an answer, such as a paused tenant, is told on stderr. Exit code with -m: 1 if
    there is no answer, 5 if there is none in time.

    \b
    Example:
      nooble-orch chat --agent echo -m "Hello there"
      cat incident.log | nooble-orch chat -m "What went wrong?"
      nooble-orch chat --continue -m "And then?" -o json | jq -r .content
    """
    if session is not None and last:
        raise click.UsageError("--session names the session: it excludes --continue.")
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    elif message is not None:
        message = with_piped(message)
    if message is None and is_data():
        raise click.UsageError("A chat at a terminal is for people: -o json needs -m or a pipe.")
    request = ChatRequest(agent_id=agent, session_id=session, continues=last, message=message, timeout=timeout, yes=yes)
    from cli.chat.session import run_chat  # noqa: PLC0415 - the help and the completion by Tab do without
    from cli.core.interrupts import run_trio  # noqa: PLC0415 - as its neighbour

    return run_trio(run_chat, find_target(), request)
