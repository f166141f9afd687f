"""`audit`: read, follow and export the audit trail."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from cli.core.client import AdminApi, Api
from cli.core.context import find_target
from cli.core.failures import CliFailure
from cli.core.options import choice_option, limit_option, listing_options, period_options
from cli.core.output import Column, note, note_if, show_list, show_next
from cli.core.selection import current_options
from cli.system.files import written_whole

_COLUMNS: Final = (
    Column("AT", "at", second=True, whole=True),
    Column("ACTION", "action", whole=True),
    Column("OUTCOME", "outcome"),
    Column("TENANT", "tenant_id"),
    Column("WHO", "user_id"),
    Column("FROM", "remote_address", rank=1),
    Column("COUNT", "count", rank=2),
    Column("DETAIL", "detail"),
)
_EVERYTHING: Final = 2**31
_FOLLOW_SECONDS: Final = 1.0
_EVER: Final = datetime.fromtimestamp(0, UTC)
_OVERLAP: Final = timedelta(seconds=5)
"""How far a look goes behind the last one: entries of several streams do not come in one order to the millisecond."""


@click.command()
@period_options
@click.option("--action", metavar="ACTION", help="Only this action, such as session.close; session. is all of them.")
@click.option("--actor", "--user", metavar="NAME", help="Only what this user or API key has done.")
@choice_option("--outcome", ("ok", "refused"), "Only this outcome")
@click.option("--follow", is_flag=True, help="Show new entries as they come, until Ctrl-C.")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write all entries to a file, oldest first, a line of JSON each; - is the standard output.",
)
@limit_option()
@listing_options
def audit(
    since: str | None,
    until: str | None,
    action: str | None,
    actor: str | None,
    outcome: str | None,
    file: Path | None,
    limit: int,
    *,
    follow: bool,
) -> None:
    """Show the audit trail, newest first: who did what, when, from where, and how it ended.

    With an API key with the scope admin (ORCH_API_KEY) that of all tenants, or with --tenant that of one; else that of
    the token's tenant, which needs the permission audit:read.

    \b
    Example:
      nooble-orch audit --tenant acme --since 2h --outcome refused
      nooble-orch audit --follow --action tenant.
      nooble-orch audit --since 30d --export audit.jsonl
    """
    if follow and (file is not None or until is not None):
        raise click.UsageError("--follow does not go with --export or --until.")
    wanted = {"since": since, "until": until, "action": action, "actor": actor, "outcome": outcome}
    with _api() as (api, scope):
        if file is not None:
            _export(api, file, wanted | scope)
        elif follow:
            _follow(api, wanted | scope)
        else:
            show_list(api.listed("audit.list", limit, **wanted, **scope), _COLUMNS, "No entries found.")


@contextmanager
def _api() -> Iterator[tuple[Api, dict[str, str | None]]]:
    """Open the API of operators where there is a key, else that of the tenant; with what narrows it to a tenant."""
    target = find_target()
    if target.api_key:
        with AdminApi(target) as admin:
            yield admin, {"tenant": current_options().tenant}
    else:
        with Api(target, operator=True) as api:
            yield api, {}


def _export(api: Api, file: Path, wanted: dict[str, str | None]) -> None:
    entries = api.listed("audit.list", _EVERYTHING, order="oldest", **wanted)
    if str(file) == "-":
        _write(sys.stdout.write, entries)
        return
    # A part of a trail must not be taken for the whole.
    with written_whole(file) as stream:
        count = _write(lambda line: stream.write(line.encode()), entries)
    note(f"{count} entries written to {file}.")


def _write(write: Callable[[str], object], entries: Iterable[dict[str, Any]]) -> int:
    count = 0
    for entry in entries:
        write(json.dumps(entry) + "\n")
        count += 1
    return count


def _follow(api: Api, wanted: dict[str, str | None]) -> None:
    since = wanted.pop("since")
    # Without a beginning it is the newest entry there is, not now: the clock here need not be that of the service.
    newest_entries = list(api.listed("audit.list", 1, **wanted))
    seen = {} if since else {_key(entry): datetime.fromisoformat(entry["at"]) for entry in newest_entries}
    begin = datetime.fromisoformat(since) if since else max(seen.values(), default=_EVER)
    told = ""
    while True:
        after = max([begin, *(at - _OVERLAP for at in seen.values())])
        try:
            for entry in api.listed("audit.list", _EVERYTHING, order="oldest", since=after.isoformat(), **wanted):
                if _key(entry) not in seen:
                    seen[_key(entry)] = datetime.fromisoformat(entry["at"])
                    _show(entry)
            told = ""
        except CliFailure as failure:
            if not failure.passes:
                raise
            note_if(f"{failure.message} Trying again." if failure.message != told else "")
            told = failure.message
        newest = max(seen.values(), default=begin)
        seen = {key: at for key, at in seen.items() if at >= newest - 2 * _OVERLAP}
        time.sleep(_FOLLOW_SECONDS)


def _key(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["tenant_id"], entry["kind"], entry["id"]


def _show(entry: dict[str, Any]) -> None:
    told = [entry["at"], entry["action"], entry["outcome"], entry["tenant_id"] or "-", entry["user_id"] or "-"]
    show_next(entry, "  ".join([*told, entry["remote_address"] or "-", entry["detail"]]))
