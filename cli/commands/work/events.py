"""`events`: what happens to the sessions, tasks and batches of a tenant, as it happens."""

from typing import Any, Final

import click

from cli.commands.work.bulk import LIVE
from cli.commands.work.tenant_events import follow_tenant
from cli.core.client import Api
from cli.core.context import find_target
from cli.core.options import choice_option, listing_options, user_option
from cli.core.output import Column, note, show_list, show_next

_NEWEST: Final = 200
_REMEMBERED: Final = 20_000
_OF_TASKS: Final = frozenset({"chat.status_update", "workflow.status_update"})
_SHOWN: Final = ("tool_id", "name", "completed", "title", "message", "chunk")
_COLUMNS: Final = (
    Column("KIND", "kind", whole=True),
    Column("ID", "id", whole=True),
    Column("STATE", "state", whole=True),
    Column("WHAT", "what"),
    Column("USER", "user_id", rank=2),
    Column("ERROR", "error.code", whole=True, sparse=True),
    Column("AGE", "at", age=True, rank=1),
)
_KINDS: Final = ("session", "task", "batch", "notification", "notice")


@click.command()
@click.option(
    "--once/--follow", default=False, help="Show how all stands now, and end; or follow, which is the default."
)
@click.option("--pieces", is_flag=True, help="Show the pieces of answers too, as they are generated.")
@choice_option("--kind", _KINDS, "Only what happens to this kind of thing")
@user_option("what")
@listing_options
def events(*, once: bool, pieces: bool, kind: str | None, user: str | None) -> None:
    """Follow all that happens in a tenant until Ctrl-C: its sessions, tasks, batches, notifications and notices.

    In a pipe it is JSON lines. Each event comes once, also where the connection is lost for a while. A notification is
    told once, when it is sent, however many users get it.

    \b
    Example:
      nooble-orch events --tenant acme
      nooble-orch events --tenant acme --kind notification
    """
    with Api(find_target(), operator=True) as api:
        if once:
            found, cut = _standing(api)
            standing = [one for one in found if kind in {None, one["kind"]} and user in {None, one["user_id"]}]
            show_list(standing, _COLUMNS, "There is nothing yet.")
            if cut:
                note(f"There are more {' and '.join(cut)} than the {_NEWEST} newest; their lists show all.")
            return
        states: dict[str, str] = {}
        for frame in follow_tenant(api, pieces=pieces):
            told, what = _told(frame, states)
            if kind in {None, told["kind"]} and _concerns(told, user):
                _tell(told, what)


def _standing(api: Api) -> tuple[list[dict[str, Any]], list[str]]:
    """Return how the sessions used last stand, and the newest and live tasks; and of which of them there are more."""
    sessions = api.listed("session.list", _NEWEST)
    told = [_stands("session", one["session_id"], one["state"], one) for one in reversed(list(sessions))]
    listings = {status: api.listed("task.list", _NEWEST, status=status) for status in (None, *LIVE)}
    newest, *live = [list(listing) for listing in listings.values()]
    tasks = {task["task_id"]: task for part in (reversed(newest), *live) for task in part}
    told += [_stands("task", task["task_id"], task["status"], task) for task in tasks.values()]
    cut = ["sessions"] if sessions.more else []
    cut += [f"{status or 'ended'} tasks" for status, listing in listings.items() if listing.more]
    return told, cut


def _stands(kind: str, name: str, state: str, record: dict[str, Any]) -> dict[str, Any]:
    told = {"at": record.get("last_activity_at") or record.get("created_at") or "", "kind": kind, "id": name}
    told |= {"before": None, "state": state, "user_id": record.get("user_id"), "error": record.get("error")}
    return told | {"what": record.get("type") or record.get("agent_id")}


def _told(frame: dict[str, Any], states: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Return what is told of an event, and a few words about it.

    Args:
        frame: of the event.
        states: the last state of what was seen, by id; kept up to date.
    """
    happened = frame["data"]
    event, data = happened["event"], happened["data"] or {}
    kind, name, state = happened["kind"], happened["id"], data.get("state")
    if event in _OF_TASKS:
        kind, name = "task", data.get("task_id", name)
    if event in _OF_TASKS or kind == "batch":
        state = data.get("status")
    before = states.pop(name, None)
    if known := state or before:
        states[name] = known
    for oldest in list(states)[: max(0, len(states) - _REMEMBERED)]:
        del states[oldest]
    told = {"at": frame["created_at"], "kind": kind, "id": name, "before": before, "state": state}
    told |= {"user_id": happened["user_id"], "error": data.get("error"), "event": event, "data": happened["data"]}
    shown = [str(data[field]) for field in _SHOWN if data.get(field) is not None]
    return told, " ".join([event, *shown])


def _concerns(told: dict[str, Any], user: str | None) -> bool:
    """Tell whether something is a user's; a notification may be for several users, or for all."""
    if user in {None, told["user_id"]}:
        return True
    data = told["data"] or {}
    return told["event"] == "system.notification" and (data.get("users") is None or user in data["user_ids"])


def _tell(told: dict[str, Any], what: str) -> None:
    error = (told["error"] or {}).get("code", "")
    change = f"{told['before'] or 'new'} -> {told['state']}" if told["state"] else ""
    parts = (told["at"][11:19], f"{told['kind']:<7}", told["id"], change, what, error)
    show_next(told, "  ".join(part for part in parts if part).rstrip())
