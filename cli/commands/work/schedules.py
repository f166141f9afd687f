"""`schedules`: list, show, create, pause, resume and delete schedules."""

from typing import Final

import click

from cli.core.client import Api
from cli.core.completion import complete_agents, complete_schedules
from cli.core.confirm import confirm, must_be_confirmable
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

_COLUMNS: Final = (
    Column("SCHEDULE", "schedule_id", whole=True),
    Column("CRON", "cron", whole=True),
    Column("AGENT", "agent_id"),
    Column("NEXT", "next_at", minute=True, whole=True),
    Column("USER", "user_id", wide=True),
    Column("ENABLED", "enabled", wide=True),
    Column("ERROR", "last_error"),
)
_STATUSES: Final = ("enabled", "paused")
_schedule_argument = click.argument("schedule_id", metavar="SCHEDULE", shell_complete=complete_schedules)


@click.group()
@listing_options
def schedules() -> None:
    """List, show, create, pause, resume and delete schedules: messages that are sent repeatedly, by cron.

    \b
    Example:
      nooble-orch schedules create --cron "0 8 * * 1-5" --agent echo -m "News?"
    """


@schedules.command("list")
@click.option("--agent", metavar="AGENT", help="Only schedules of this agent.", shell_complete=complete_agents)
@user_option("schedules")
@choice_option("--status", _STATUSES, "Only schedules with this status")
@period_options
@limit_option()
@watch_option
@listing_options
def list_schedules(
    agent: str | None, user: str | None, status: str | None, since: str | None, until: str | None, limit: int
) -> None:
    """List schedules, newest first; --since and --until are of their creation.

    \b
    Example:
      nooble-orch schedules list --agent docs-guide
      nooble-orch schedules list --user ada --watch
    """
    with Api(find_target(), operator=True) as api:
        wanted = {"agent_id": agent, "user_id": user, "since": since, "until": until}
        enabled = None if status is None else str(status == "enabled").lower()
        show_list(api.listed("schedule.list", limit, **wanted, enabled=enabled), _COLUMNS, "No schedules found.")


@schedules.command()
@_schedule_argument
@listing_options
def show(schedule_id: str) -> None:
    """Show a schedule, with its next run and the outcome of its last one.

    \b
    Example:
      nooble-orch schedules show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        show_record(api.get(f"schedule.get/{schedule_id}"))


@schedules.command()
@click.option("--cron", required=True, metavar="CRON", help="Minute, hour, day of month, month, day of week.")
@click.option("--timezone", default="UTC", show_default=True, metavar="NAME", help="Time zone, as Europe/Madrid.")
@click.option("--agent", required=True, metavar="AGENT", help="Agent to send it to.", shell_complete=complete_agents)
@click.option("-m", "--message", required=True, metavar="TEXT", help="Message to the agent.")
@click.option("--keep-session", is_flag=True, help="Use one session for all runs.")
@click.option("--skip-missed", is_flag=True, help="Skip runs that were missed while the service was down.")
@listing_options
def create(cron: str, timezone: str, agent: str, message: str, *, keep_session: bool, skip_missed: bool) -> None:
    """Create a schedule that sends a message to an agent, on behalf of the user of the token.

    \b
    Example:
      nooble-orch schedules create --cron "0 8 * * *" --agent echo -m "Hello"
    """
    request = {
        "cron": cron,
        "timezone": timezone,
        "agent_id": agent,
        "content": message,
        "session": "kept" if keep_session else "fresh",
        "missed": "skip" if skip_missed else "run_once",
    }
    with Api(find_target()) as api:
        show_record(api.post("schedule.create", request))


@schedules.command()
@_schedule_argument
@listing_options
def pause(schedule_id: str) -> None:
    """Pause a schedule until it is resumed.

    \b
    Example:
      nooble-orch schedules pause 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    _enable(schedule_id, enabled=False)


@schedules.command()
@_schedule_argument
@listing_options
def resume(schedule_id: str) -> None:
    """Resume a schedule, from now on.

    \b
    Example:
      nooble-orch schedules resume 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    _enable(schedule_id, enabled=True)


@schedules.command()
@_schedule_argument
@listing_options
def trigger(schedule_id: str) -> None:
    """Run a schedule now; its next run stays as its cron expression says.

    \b
    Example:
      nooble-orch schedules trigger 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        show_record(api.post(f"schedule.trigger/{schedule_id}"))
    note(f"It runs now; 'nooble-orch schedules show {schedule_id}' names its task.")


@schedules.command()
@_schedule_argument
@confirm_options
@listing_options
def delete(schedule_id: str, *, yes: bool) -> None:
    """Delete a schedule; its turns stay.

    \b
    Example:
      nooble-orch schedules delete 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    must_be_confirmable(yes=yes)
    with Api(find_target(), operator=True) as api:
        confirm(lambda: _delete_question(api, schedule_id), yes=yes)
        show_record(api.delete(f"schedule.delete/{schedule_id}"))


def _delete_question(api: Api, schedule_id: str) -> str:
    schedule = api.get(f"schedule.get/{schedule_id}")
    return f"Delete schedule {schedule_id} ({schedule['cron']} to {schedule['agent_id']})?"


def _enable(schedule_id: str, *, enabled: bool) -> None:
    with Api(find_target(), operator=True) as api:
        show_record(api.put(f"schedule.update/{schedule_id}", {"enabled": enabled}))
