"""`batches`: list, show, follow and cancel batches, and list their results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.commands.task_filters import STATUSES as ITEM_STATUSES
from cli.core.client import Api
from cli.core.completion import complete_batches
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import choice_option, limit_option, listing_options, yes_option
from cli.core.output import Column, make_console, note, note_changes, show_list, show_record

STATUSES: Final = ("running", "stopping", "completed", "partial", "failed", "cancelled")
_ENDED: Final = frozenset(STATUSES[2:])
_LOOK_EVERY: Final = 0.5
_COLUMNS: Final = (
    Column("BATCH", "batch_id", whole=True),
    Column("STATUS", "status", whole=True),
    Column("AGE", "created_at", age=True),
    Column("TOTAL", "total"),
    Column("DONE", "completed"),
    Column("FAILED", "failed"),
)
_ITEM_COLUMNS: Final = (
    Column("ITEM", "index", whole=True),
    Column("STATUS", "status", whole=True),
    Column("ANSWER", "result.content"),
    Column("ERROR", "error.code"),
)
_batch_argument = click.argument("batch_id", metavar="BATCH", shell_complete=complete_batches)


@click.group()
@listing_options
def batches() -> None:
    """List, show, follow and cancel batches.

    \b
    Example:
      nooble-orch batches list --status running
    """


@batches.command("list")
@choice_option("--status", STATUSES, "Only batches with this status")
@limit_option()
@listing_options
def list_batches(status: str | None, limit: int) -> None:
    """List batches, newest first.

    \b
    Example:
      nooble-orch batches list -o jsonl | jq .completed
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("batch.list", limit, status=status), _COLUMNS, "No batches found.")


@batches.command()
@_batch_argument
@click.option("--follow", is_flag=True, help="Wait until the batch has ended, and show its progress.")
@listing_options
def show(batch_id: str, *, follow: bool) -> None:
    """Show a batch and its progress.

    Exit codes with --follow: 1 if the batch failed or was cancelled, 5 if some items were not answered.

    \b
    Example:
      nooble-orch batches show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --follow
    """
    with Api(find_target(), operator=True) as api:
        route = f"batch.get/{batch_id}"
        if follow:
            try:
                with _progress() as tell:
                    batch = api.poll(route, _has_ended, every=_LOOK_EVERY, tell=tell)
            except KeyboardInterrupt:
                note(f"The batch goes on; 'nooble-orch batches cancel {batch_id}' stops it.")
                raise
        else:
            batch = api.get(route)
    show_record(batch)
    if follow and batch["status"] != "completed":
        code = Exit.INCOMPLETE if batch["status"] == "partial" else Exit.FAILED
        left = batch["failed"] + batch["cancelled"]
        message = f"{left} of {batch['total']} items were not answered."
        raise CliFailure(message, f"nooble-orch batches results {batch_id} --status failed", code)


@batches.command()
@_batch_argument
@choice_option("--status", ITEM_STATUSES, "Only items with this status")
@limit_option()
@listing_options
def results(batch_id: str, status: str | None, limit: int) -> None:
    """List the items of a batch in order, with their results.

    \b
    Example:
      nooble-orch batches results 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --status failed
    """
    with Api(find_target(), operator=True) as api:
        found = api.listed(f"batch.results/{batch_id}", limit, status=status)
        show_list(found, _ITEM_COLUMNS, "No items found.")


@batches.command()
@_batch_argument
@yes_option
@listing_options
def cancel(batch_id: str, *, yes: bool) -> None:
    """Cancel a batch: stop its running items, start no others.

    \b
    Example:
      nooble-orch batches cancel 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    confirm(f"Cancel batch {batch_id}?", yes=yes)
    with Api(find_target(), operator=True) as api:
        answer = api.delete(f"batch.cancel/{batch_id}")
    show_record(answer)
    if not answer["cancelled"]:
        message = "The batch had already ended or was stopping; nothing was cancelled."
        raise CliFailure(message, f"nooble-orch batches show {batch_id}")


def _has_ended(batch: dict[str, Any]) -> bool:
    return batch["status"] in _ENDED


@contextmanager
def _progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that shows the progress of a batch on stderr: a bar on a terminal, else a line a change."""
    if not sys.stderr.isatty():
        changed = note_changes()
        yield lambda batch: changed(_counts(batch), _counts(batch))
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=make_console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)

        def tell(batch: dict[str, Any]) -> None:
            ended = batch["completed"] + batch["failed"] + batch["cancelled"]
            progress.update(bar, total=batch["total"], completed=ended, description=_counts(batch))

        yield tell


def _counts(batch: dict[str, Any]) -> str:
    parts = [f"{batch['completed']} of {batch['total']} done"]
    parts += [f"{batch[name]} {name}" for name in ("failed", "cancelled", "running") if batch[name]]
    return ", ".join(parts)
