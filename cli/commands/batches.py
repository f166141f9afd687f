"""`batches`: list, show, results, cancel."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.commands.tasks import STATUSES as ITEM_STATUSES
from cli.core.client import Api
from cli.core.completion import complete_batches
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import Column, make_console, note, show_list, show_record

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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@listing_options
def batches() -> None:
    """List, show, follow and cancel batches.

    \b
    Example:
      nooble-orch batches list --status running
    """


@batches.command("list")
@click.option(
    "--status", type=click.Choice(STATUSES), metavar="STATUS", help=f"Only those that stand so: {', '.join(STATUSES)}."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@listing_options
def list_batches(status: str | None, limit: int) -> None:
    """List batches, the latest first.

    \b
    Example:
      nooble-orch batches list -o jsonl | jq .completed
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("batch.list", limit, status=status), _COLUMNS, "There are no such batches.")


@batches.command()
@_batch_argument
@click.option("--follow", is_flag=True, help="Wait until it has ended, and show how far it is.")
@listing_options
def show(batch_id: str, *, follow: bool) -> None:
    """Show a batch and how far it is.

    Followed, it ends with 1 if the batch failed or was cancelled, and with 5 if some of its items were not answered.

    \b
    Example:
      nooble-orch batches show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --follow
    """
    with Api(find_target(), operator=True) as api:
        batch = api.get(f"batch.get/{batch_id}")
        if follow:
            try:
                batch = _follow(api, batch)
            except KeyboardInterrupt:
                note(f"The batch goes on; 'nooble-orch batches cancel {batch_id}' would stop it.")
                raise
    show_record(batch)
    if follow and batch["status"] != "completed":
        code = Exit.INCOMPLETE if batch["status"] == "partial" else Exit.FAILED
        left = batch["failed"] + batch["cancelled"]
        message = f"{left} of {batch['total']} items were not answered."
        raise CliFailure(message, f"nooble-orch batches results {batch_id} --status failed", code)


@batches.command()
@_batch_argument
@click.option(
    "--status",
    type=click.Choice(ITEM_STATUSES),
    metavar="STATUS",
    help=f"Only items that stand so: {', '.join(ITEM_STATUSES)}.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@listing_options
def results(batch_id: str, status: str | None, limit: int) -> None:
    """List the items of a batch in their order, each with what became of it.

    \b
    Example:
      nooble-orch batches results 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --status failed
    """
    with Api(find_target(), operator=True) as api:
        found = api.listed(f"batch.results/{batch_id}", limit, status=status)
        show_list(found, _ITEM_COLUMNS, "There are no such items.")


@batches.command()
@_batch_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@listing_options
def cancel(batch_id: str, *, yes: bool) -> None:
    """Cancel a batch: what has not started never will, and what runs is stopped.

    \b
    Example:
      nooble-orch batches cancel 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    confirm(f"Cancel batch {batch_id}?", yes=yes)
    with Api(find_target(), operator=True) as api:
        answer = api.delete(f"batch.cancel/{batch_id}")
    show_record(answer)
    if not answer["cancelled"]:
        message = "The batch had already ended, or was being stopped; nothing was cancelled."
        raise CliFailure(message, f"nooble-orch batches show {batch_id}")


def _follow(api: Api, batch: dict[str, Any]) -> dict[str, Any]:
    """Show how far a batch is until it has ended."""
    with _shown(batch["total"]) as tell:
        tell(batch)
        while batch["status"] not in _ENDED:
            time.sleep(_LOOK_EVERY)
            batch = api.get(f"batch.get/{batch['batch_id']}")
            tell(batch)
    return batch


@contextmanager
def _shown(total: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show progress on stderr: as a bar on a terminal, else as a line whenever it has changed."""
    if not sys.stderr.isatty():
        told = [""]

        def tell(batch: dict[str, Any]) -> None:
            if told[0] != (text := _words(batch)):
                told[0] = text
                note(text)

        yield tell
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=make_console(stderr=True)) as progress:
        bar = progress.add_task("", total=total)
        yield lambda batch: progress.update(bar, completed=_ended_items(batch), description=_words(batch))


def _ended_items(batch: dict[str, Any]) -> int:
    return int(batch["completed"] + batch["failed"] + batch["cancelled"])


def _words(batch: dict[str, Any]) -> str:
    parts = [f"{batch['completed']} of {batch['total']} done"]
    parts += [f"{batch[name]} {name}" for name in ("failed", "cancelled", "running") if batch[name]]
    return ", ".join(parts)
