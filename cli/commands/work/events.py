"""`events`: what happens to the tasks and sessions of a tenant, as it happens."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import click

from cli.commands.work.bulk import LIVE
from cli.core.client import Api
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import is_table, note, printable

_EVERY: Final = 1.0
_NEWEST: Final = 200
_REMEMBERED: Final = 20_000


@click.command()
@click.option("--once", is_flag=True, help="Show how all stands now, and end.")
@listing_options
def events(*, once: bool) -> None:
    """Follow the tasks and sessions of a tenant until Ctrl-C: each change of their states; JSON lines in a pipe.

    It looks every second: what changes and changes back meanwhile is not shown. 'sessions watch' follows every event of
    one session.

    \b
    Example:
      nooble-orch events --tenant acme
    """
    seen: dict[str, str] = {}
    with Api(find_target(), operator=True) as api:
        first = True
        while True:
            try:
                for kind, name, state, record in _look(api, seen):
                    before = seen.pop(name, None)
                    seen[name] = state
                    # What was there before is no news, unless it is asked for.
                    if before != state and (once or not first):
                        _tell(kind, name, before, state, record)
            except CliFailure as failure:
                # The service may be restarting.
                if first or failure.code not in {Exit.UNREACHABLE, Exit.INCOMPLETE}:
                    raise
                note(f"{failure.message} Trying again.")
            if once:
                return
            first = False
            for name in list(seen)[: max(0, len(seen) - _REMEMBERED)]:
                del seen[name]
            time.sleep(_EVERY)


def _look(api: Api, seen: dict[str, str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield (kind, id, state, record) of the newest and all live tasks, and of the sessions used last."""
    shown: set[str] = set()
    for session in reversed(list(api.listed("session.list", _NEWEST))):
        yield "session", session["session_id"], session["state"], session
    newest = list(api.listed("task.list", _NEWEST))
    live = [task for status in LIVE for task in api.listed("task.list", _NEWEST, status=status)]
    for task in [*reversed(newest), *live]:
        if task["task_id"] not in shown:
            shown.add(task["task_id"])
            yield "task", task["task_id"], task["status"], task
    # A task that was live and is among neither has ended.
    for name in [name for name, state in seen.items() if state in LIVE and name not in shown]:
        try:
            task = api.get(f"task.get/{name}")
        except CliFailure as failure:
            if failure.code is not Exit.NOT_FOUND:
                raise
            seen.pop(name, None)
            continue
        yield "task", name, task["status"], task


def _tell(kind: str, name: str, before: str | None, state: str, record: dict[str, Any]) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if not is_table():
        told = {"at": at, "kind": kind, "id": name, "before": before, "state": state}
        print(json.dumps({**told, "user_id": record.get("user_id"), "error": record.get("error")}), flush=True)
        return
    error = (record.get("error") or {}).get("code", "")
    what = record.get("type") or record.get("agent_id") or ""
    print(
        printable(f"{at[11:19]}  {kind:<7}  {name}  {before or 'new'} -> {state}  {what} {error}".rstrip()), flush=True
    )
