"""`dlq`: list, show, replay and purge dead letters."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from math import ceil
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli.core.client import AdminApi
from cli.core.completion import complete_tenants
from cli.core.confirm import choice_words, confirm, counted, must_be_confirmable
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import (
    ENTRY,
    Duration,
    dry_run_option,
    limit_option,
    listing_options,
    period_options,
    split_tenant,
    tenant_argument,
    watch_option,
    yes_option,
)
from cli.core.output import Column, note, show_list, show_record

_COLUMNS: Final = (
    Column("ENTRY", "id", whole=True),
    Column("TASK", "task_id", whole=True, rank=2),
    Column("CODE", "error.code", whole=True),
    Column("TRIES", "attempts", rank=3),
    Column("AGE", "at", age=True),
    Column("REPLAYED AS", "replayed_as", whole=True, sparse=True, rank=1),
    Column("TYPE", "type", whole=True, wide=True),
    Column("USER", "user_id", wide=True),
    Column("MESSAGE", "error.message", wide=True),
)
_OUTCOMES: Final = (
    Column("ENTRY", "id", whole=True),
    Column("REPLAYED AS", "task_id", whole=True),
    Column("REFUSED", "refusal.message"),
)
_OF_PURGE: Final = frozenset({"error_code", "older_than"})
"""What the service itself chooses by; by all else the command chooses."""
_EVERYTHING: Final = 1_000_000
_NOTHING: Final = "There is nothing to delete."
_PART: Final = 100
_PURGED_AT_ONCE: Final = 500
F = TypeVar("F", bound=Callable[..., Any])


def _letter_filters(command: F) -> F:
    """Add the options that choose dead letters; they come as the argument `choice`, by the names of `dlq.list`."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        chosen = {name: options.pop(name) for name in ("error_code", "type", "user_id", "since", "until")}
        age = options.pop("older_than")
        # Whole seconds, of which a dead letter has at least as many.
        return command(*arguments, choice={**chosen, "older_than": None if age is None else ceil(age)}, **options)

    given = (
        click.option("--error-code", metavar="CODE", help="Only dead letters with this error code."),
        click.option("--type", "type", metavar="TYPE", help="Only those of tasks of this type, such as chat.message."),
        click.option("--user", "user_id", metavar="USER", help="Only those of this user's tasks."),
        period_options,
        click.option(
            "--older-than",
            type=Duration(),
            metavar="AGE",
            help="Only dead letters of at least this age, such as 1h or 7d.",
        ),
    )
    added: Any = run
    for option in reversed(given):
        added = option(added)
    return added  # type: ignore[no-any-return]  # the wrapper takes what the command takes


@click.group()
@listing_options
def dlq() -> None:
    """List, show, replay and purge dead letters. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Example:
      nooble-orch dlq list acme
    """


@dlq.command("list")
@tenant_argument
@_letter_filters
@click.option("--replayed/--not-replayed", default=None, help="Only those that were replayed, or were not.")
@limit_option()
@watch_option
@listing_options
def list_letters(tenant_id: str, limit: int, *, choice: dict[str, Any], replayed: bool | None) -> None:
    """List the dead letters of a tenant, newest first; REPLAYED AS is the task that did one again.

    \b
    Example:
      nooble-orch dlq list acme --error-code ORCH_CONN_001
      nooble-orch dlq list acme --since 1h --not-replayed
    """
    with AdminApi(find_target()) as api:
        asked = None if replayed is None else str(replayed).lower()
        found = api.listed(f"dlq.list/{tenant_id}", limit, **choice, replayed=asked)
        show_list(found, _COLUMNS, "No dead letters found.")


@dlq.command()
@click.argument("names", metavar="[TENANT] ENTRY", nargs=-1, required=True, shell_complete=complete_tenants)
@listing_options
def show(names: tuple[str, ...]) -> None:
    """Show a dead letter, and what its task was asked.

    \b
    Example:
      nooble-orch dlq show acme 1767225600000-0
    """
    tenant_id, entries = split_tenant(names, _is_entry)
    if len(entries) != 1:
        raise click.UsageError("Give one entry, such as 1767225600000-0.")
    with AdminApi(find_target()) as api:
        show_record(api.get(f"dlq.list/{tenant_id}", entry=entries[0])["items"][0])


@dlq.command()
@click.argument("names", metavar="[TENANT] [ENTRY]...", nargs=-1, shell_complete=complete_tenants)
@_letter_filters
@click.option("--rate", type=click.FloatRange(0.01, 10_000), metavar="N", help="Maximum number of replays a second.")
@click.option("--again", is_flag=True, help="Replay also those that were replayed before.")
@dry_run_option
@yes_option
@listing_options
def replay(
    names: tuple[str, ...],
    rate: float | None,
    *,
    choice: dict[str, Any],
    again: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Replay dead letters as new tasks, each once; with --again also those that were replayed before.

    Exit code 5: some could not be replayed. Ctrl-C stops the replay; finished replays stay.

    \b
    Example:
      nooble-orch dlq replay acme --error-code ORCH_CONN_001 --rate 5
    """
    tenant_id, entries = split_tenant(names, _is_entry)
    must_be_confirmable(yes=yes or dry_run)
    outcomes: list[dict[str, Any]] = []
    with AdminApi(find_target()) as api:
        chosen = list(dict.fromkeys(entries))
        if not chosen:
            found = api.listed(f"dlq.list/{tenant_id}", _EVERYTHING, **choice)
            chosen = [letter["id"] for letter in found if again or not letter["replayed_as"]]
        if not dry_run and chosen:
            scope = _scope(tenant_id, {} if entries else choice)
            confirm(f"Replay {counted(len(chosen), 'dead letter')} of {scope}?", yes=yes)
        body = {"dry_run": dry_run, "again": again} | ({"rate": rate} if rate else {})
        try:
            for answer in _answers(api, tenant_id, body, chosen):
                outcomes += answer["items"]
                note(_so_far(outcomes, len(chosen), "would be replayed" if dry_run else "replayed"))
        except (KeyboardInterrupt, CliFailure):
            show_list(outcomes, _OUTCOMES)
            done = f"{len(outcomes)} of {len(chosen)}, and perhaps some of the next {_part_size(rate)}"
            note(f"Stopped after {done}; the same command continues with the rest.")
            raise
    show_list(outcomes, _OUTCOMES, "There is nothing to replay.")
    if refused := _refused(outcomes):
        message = f"{refused} of {len(outcomes)} dead letters could not be replayed."
        raise CliFailure(message, "The list has the reasons.", Exit.INCOMPLETE)
    _check_found(entries, {one["id"] for one in outcomes})


def _answers(api: AdminApi, tenant_id: str, body: dict[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
    """Replay dead letters part by part; one request may return before it has done its whole part."""
    left, part = names, _part_size(body.get("rate"))
    while left:
        answer = api.post(f"dlq.replay/{tenant_id}", {**body, "ids": left[:part]})
        yield answer
        if answer["more"]:
            done = {one["id"] for one in answer["items"]}
            left = [name for name in left if name not in done]
        else:
            left = left[part:]


def _part_size(rate: float | None) -> int:
    """Return the number of replays a request; with a rate those of one second, so that the progress shows."""
    return _PART if rate is None else min(_PART, max(1, int(rate)))


def _check_found(entries: Sequence[str], found: Collection[str]) -> None:
    missing = [entry for entry in entries if entry not in found]
    if missing:
        code = Exit.INCOMPLETE if found else Exit.NOT_FOUND
        raise CliFailure(f"There is no such dead letter: {', '.join(missing)}.", "", code)


def _refused(outcomes: list[dict[str, Any]]) -> int:
    return sum(bool(one["refusal"]) for one in outcomes)


def _so_far(outcomes: list[dict[str, Any]], chosen: int, verb: str) -> str:
    refused, before = _refused(outcomes), sum(bool(one.get("replayed_before")) for one in outcomes)
    says = f"{len(outcomes) - refused} of {chosen} {verb}"
    says += f", {before} replayed before, by the tasks shown" if before else ""
    return says + (f", {refused} refused" if refused else "")


@dlq.command()
@click.argument("names", metavar="[TENANT] [ENTRY]...", nargs=-1, shell_complete=complete_tenants)
@_letter_filters
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="First write them to this new file, as JSON lines.",
)
@dry_run_option
@yes_option
@listing_options
def purge(
    names: tuple[str, ...],
    file: Path | None,
    *,
    choice: dict[str, Any],
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete dead letters; the records of their tasks stay.

    \b
    Example:
      nooble-orch dlq purge acme --older-than 604800 --export old.jsonl
    """
    tenant_id, entries = split_tenant(names, _is_entry)
    must_be_confirmable(yes=yes or dry_run)
    given = {name: value for name, value in choice.items() if value is not None}
    with AdminApi(find_target()) as api:
        if file is None and not entries and not dry_run and given.keys() <= _OF_PURGE:
            question = "" if yes else _purge_question(api, tenant_id, choice)
            if question is None:
                note(_NOTHING)
                return
            confirm(question, yes=yes)
            show_record(api.post(f"dlq.purge/{tenant_id}", given))
            return
        found = api.listed(f"dlq.list/{tenant_id}", _EVERYTHING, **choice)
        kept = [letter for letter in found if not entries or letter["id"] in entries]
        if dry_run or not (kept or yes):
            show_list(kept, _COLUMNS, _NOTHING)
            _check_found(entries, {letter["id"] for letter in kept})
            return
        confirm(f"Delete {counted(len(kept), 'dead letter')} of {_scope(tenant_id, choice)} for good?", yes=yes)
        if file is not None:
            _write(file, kept)
        # Delete exactly the exported dead letters: new ones may have come meanwhile.
        purged, doomed = 0, [letter["id"] for letter in kept]
        try:
            for start in range(0, len(doomed), _PURGED_AT_ONCE):
                part = doomed[start : start + _PURGED_AT_ONCE]
                purged += api.post(f"dlq.purge/{tenant_id}", {"ids": part})["purged"]
        except (KeyboardInterrupt, CliFailure):
            note(f"Stopped after {purged} of {len(doomed)} were deleted, and perhaps the next {_PURGED_AT_ONCE}.")
            raise
        show_record({"purged": purged})
    _check_found(entries, doomed)


def _purge_question(api: AdminApi, tenant_id: str, choice: dict[str, Any]) -> str | None:
    """Return what is asked before a purge; None: there is nothing to delete."""
    try:
        found = sum(1 for _ in api.listed(f"dlq.list/{tenant_id}", _EVERYTHING, **choice))
        if not found:
            return None
        count = counted(found, "dead letter")
    except CliFailure:
        # The purge itself tells why, if it can't be done either.
        count = "dead letters"
    return f"Delete {count} of {_scope(tenant_id, choice)} for good?"


def _scope(tenant_id: str, choice: dict[str, Any]) -> str:
    words = choice_words(choice)
    return f"tenant {tenant_id} ({words})" if words else f"tenant {tenant_id}"


def _is_entry(name: str) -> bool:
    return ENTRY.fullmatch(name) is not None


def _write(file: Path, letters: list[dict[str, Any]]) -> None:
    try:
        # An existing file may be the only copy of what an earlier purge has deleted.
        with file.open("x", encoding="utf-8") as lines:
            lines.writelines(json.dumps(letter) + "\n" for letter in letters)
    except OSError as error:
        message = f"{file} can't be written: {error.strerror}."
        raise CliFailure(message, "Nothing was deleted; choose another file.", Exit.USAGE) from None
    note(f"{len(letters)} dead letters are in {file}.")
