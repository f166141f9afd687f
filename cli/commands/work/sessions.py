"""`sessions`: list, show, close and watch sessions."""

import json
import sys
from typing import Any, Final

import click

from cli.core.client import Api, Chosen, Listing, TrioApi
from cli.core.completion import complete_agents, complete_sessions
from cli.core.confirm import confirm, counted, must_be_confirmable
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.follow import FollowedSession, Frame
from cli.core.interrupts import run_trio, until_signalled
from cli.core.options import (
    ALL,
    choice_option,
    limit_option,
    listing_options,
    period_options,
    target_options,
    watch_option,
    yes_option,
)
from cli.core.output import Column, note, printable, show_list, show_record
from cli.core.selection import current_options

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
@choice_option("--state", STATES, "Only sessions in this state")
@click.option("--agent", metavar="AGENT", help="Only sessions with this agent.", shell_complete=complete_agents)
@click.option("--user", metavar="USER", help="Only sessions of this user.")
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
        found: Chosen | Listing = api.listed("session.list", limit, state=state, agent_id=agent)
        if user or since or until:
            whole = api.listed("session.list", ALL, state=state, agent_id=agent)
            period = {"since": since, "until": until}
            found = Chosen(
                whole, limit, field="last_activity_at", keep=lambda one: user in {None, one["user_id"]}, **period
            )
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
@yes_option
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
@target_options
def watch(session_id: str, *, from_start: bool) -> None:
    """Follow the events of a session until Ctrl-C; JSON lines in a pipe.

    \b
    Example:
      nooble-orch sessions watch 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    target = find_target()
    as_json = not sys.stdout.isatty() or current_options().format in {"json", "jsonl"}

    async def follow() -> None:
        async with TrioApi(target, operator=True) as api:
            session = await api.get(f"session.get/{session_id}")
            # Offsets start at 1; for offset 0 the server sends all events that it keeps.
            socket = FollowedSession(target, session["session_id"], operator=True, after=0 if from_start else None)
            async with socket.opened() as frames:
                async for frame in frames:
                    print(json.dumps(frame.raw) if as_json else _line(frame), flush=True)

    if run_trio(until_signalled, follow) is not None:
        raise CliFailure(f"Stopped watching; session {session_id} stays open.", "", Exit.INTERRUPTED)


def _close_question(api: Api, session_id: str) -> str:
    session = api.get(f"session.get/{session_id}")
    messages = counted(session["message_count"], "message")
    note(f"It is of {session['user_id']} with {session['agent_id']}, {session['state']}, and has {messages}.")
    return f"Close session {session_id} for good?"


def _line(frame: Frame) -> str:
    time = str(frame.raw.get("created_at", ""))[11:23]
    return printable(f"{time}  {frame.offset or '':>5}  {frame.name:<22} {_summary(frame.name, frame.data)}")


def _summary(name: str, data: dict[str, Any]) -> str:
    known = {
        "session.state_update": ("state", "active_task_id"),
        "chat.status_update": ("status", "message_id"),
        "chat.stream": ("chunk",),
        "chat.completed": ("content",),
        "tool.execute": ("tool_id", "params"),
        "tool.result": ("tool_call_id", "result"),
        "system.error": ("error",),
    }
    values = [data[field] for field in known.get(name, tuple(data)) if data.get(field) is not None]
    return "  ".join(part if isinstance(part, str) else json.dumps(part) for part in values).replace("\n", "⏎")
