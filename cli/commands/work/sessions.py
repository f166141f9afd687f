"""`sessions`: list, show, close and watch sessions."""

from typing import Final

import click

from cli.core.client import Api
from cli.core.completion import complete_agents, complete_sessions
from cli.core.confirm import confirm, counted, must_be_confirmable
from cli.core.context import find_target
from cli.core.options import (
    choice_option,
    confirm_options,
    limit_option,
    listing_options,
    period_options,
    user_option,
    watch_option,
)
from cli.core.output import Column, note, show_list, show_record

STATES: Final = ("CREATED", "ACTIVE", "PROCESSING", "ERROR", "PAUSED", "SUSPENDED", "TERMINATED", "ARCHIVED", "FAILED")
_COLUMNS: Final = (
    Column("SESSION", "session_id", whole=True),
    Column("STATE", "state", whole=True),
    Column("AGENT", "agent_id"),
    Column("MSGS", "message_count"),
    Column("ACTIVE", "last_activity_at", age=True),
    Column("USER", "user_id", whole=True, wide=True),
)
_session_argument = click.argument("session_id", metavar="SESSION", shell_complete=complete_sessions)


@click.group()
@listing_options
def sessions() -> None:
    """List, show, close and watch sessions.

    \b
    Example:
      nooble-orch sessions list --state PROCESSING
    """


@sessions.command("list")
@choice_option("--state", STATES, "Only sessions in this state", also=("--status",))
@click.option("--agent", metavar="AGENT", help="Only sessions with this agent.", shell_complete=complete_agents)
@user_option("sessions")
@period_options
@limit_option()
@watch_option
@listing_options
def list_sessions(
    state: str | None, agent: str | None, user: str | None, since: str | None, until: str | None, limit: int
) -> None:
    """List sessions, the last active first; --since and --until are of their last activity.

    \b
    Example:
      nooble-orch sessions list --agent docs-guide -o json
      nooble-orch sessions list --user ada --since 1h
    """
    with Api(find_target(), operator=True) as api:
        wanted = {"state": state, "agent_id": agent, "user_id": user, "since": since, "until": until}
        found = api.listed("session.list", limit, **wanted)
        show_list(found, _COLUMNS, "No sessions found.")


@sessions.command()
@_session_argument
@listing_options
def show(session_id: str) -> None:
    """Show a session.

    \b
    Example:
      nooble-orch sessions show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        show_record(api.get(f"session.get/{session_id}"))


@sessions.command()
@_session_argument
@confirm_options
@listing_options
def close(session_id: str, *, yes: bool) -> None:
    """Close a session: cancel its turn, close its sockets, accept no more messages.

    \b
    Example:
      nooble-orch sessions close 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    must_be_confirmable(yes=yes)
    with Api(find_target(), operator=True) as api:
        confirm(lambda: _close_question(api, session_id), yes=yes)
        show_record(api.delete(f"session.close/{session_id}"))


@sessions.command()
@_session_argument
@click.option("--from-start", is_flag=True, help="Start with the oldest event that is kept.")
@listing_options
def watch(session_id: str, *, from_start: bool) -> None:
    """Follow the events of a session until Ctrl-C; JSON lines in a pipe.

    \b
    Example:
      nooble-orch sessions watch 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    from cli.commands.work.watching import watch_session  # noqa: PLC0415 - lists do without trio and sockets

    watch_session(find_target(), session_id, from_start=from_start)


def _close_question(api: Api, session_id: str) -> str:
    session = api.get(f"session.get/{session_id}")
    messages = counted(session["message_count"], "message")
    note(f"It is of {session['user_id']} with {session['agent_id']}, {session['state']}, and has {messages}.")
    return f"Close session {session_id} for good?"
