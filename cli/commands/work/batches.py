"""`batches`: list, show, follow and cancel batches, and list their results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, Final

import click

from cli.commands.work.task_filters import STATUSES as ITEM_STATUSES
from cli.core.client import Api
from cli.core.completion import complete_agents, complete_batches, complete_workflows
from cli.core.confirm import confirm, must_be_confirmable
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import (
    Duration,
    choice_option,
    confirm_options,
    limit_option,
    listing_options,
    period_options,
    user_option,
    watch_option,
)
from cli.core.output import Column, note, note_changes, show_list, show_record
from cli.core.values import json_value
from cli.waiting.polling import poll

STATUSES: Final = ("running", "stopping", "completed", "partial", "failed", "cancelled")
_ENDED: Final = frozenset(STATUSES[2:])
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

_timeout_option = click.option(
    "--timeout", type=Duration(), metavar="TIME", help="How long its end is waited for; default: as long as it takes."
)


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
@user_option("batches")
@click.option("--agent", metavar="AGENT", help="Only batches that this agent answers.", shell_complete=complete_agents)
@period_options
@limit_option()
@watch_option
@listing_options
def list_batches(
    status: str | None, user: str | None, agent: str | None, since: str | None, until: str | None, limit: int
) -> None:
    """List batches, newest first.

    \b
    Example:
      nooble-orch batches list -o jsonl | jq .completed
    """
    with Api(find_target(), operator=True) as api:
        wanted = {"status": status, "user_id": user, "agent_id": agent, "since": since, "until": until}
        found = api.listed("batch.list", limit, **wanted)
        show_list(found, _COLUMNS, "No batches found.")


@batches.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--agent", metavar="AGENT", help="The agent that answers the items.", shell_complete=complete_agents)
@click.option(
    "--workflow",
    metavar="WORKFLOW",
    help="The workflow that runs with each item, instead.",
    shell_complete=complete_workflows,
)
@click.option("--concurrency", type=click.IntRange(1, 1000), default=10, show_default=True, help="Items at once.")
@click.option("--abort", is_flag=True, help="Stop at the first item that fails.")
@click.option("--wait", is_flag=True, help="Wait for the end, and show the progress.")
@_timeout_option
@listing_options
def create(
    file: Path,
    agent: str | None,
    workflow: str | None,
    concurrency: int,
    timeout: float | None,
    *,
    abort: bool,
    wait: bool,
) -> None:
    """Create a batch from a file with an item a line: a question, or a JSON object such as an item of batch.create.

    Exit codes with --wait: those of 'batches show --follow'.

    \b
    Example:
      nooble-orch batches create questions.txt --agent docs-guide
      nooble-orch batches create inputs.jsonl --workflow arithmetic --wait
    """
    if bool(agent) == bool(workflow):
        raise click.UsageError("Give either --agent or --workflow.")
    # Only a line feed ends a line: texts, and JSON, may have the others of Unicode in them.
    items = [_item(line, is_question=agent is not None) for line in _text(file).split("\n") if line.strip()]
    if not items:
        raise click.UsageError(f"{file} has no items.")
    body: dict[str, Any] = {"items": items, "max_concurrency": concurrency}
    body |= {"agent_id": agent} if agent else {"workflow_id": workflow}
    if abort:
        body["on_item_error"] = "abort"
    with Api(find_target(), operator=True) as api:
        batch = api.post("batch.create", body)
        if wait:
            _follow(api, batch["batch_id"], timeout)
            return
    show_record(batch)
    note(f"'nooble-orch batches show {batch['batch_id']} --follow' shows its progress.")


def _text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        message = f"{file} is no text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}."
        raise CliFailure(message, "Nothing was created.", Exit.USAGE) from None


def _item(line: str, *, is_question: bool) -> dict[str, Any]:
    try:
        value = json_value(line) if line.lstrip().startswith("{") else None
    except ValueError:
        value = None
    if value is None:
        return {"content": line} if is_question else {"input": {"value": line}}
    known = {"content", "input", "metadata"} & value.keys()
    return value if known else {"input": value}


@batches.command()
@_batch_argument
@click.option("--follow", is_flag=True, help="Wait until the batch has ended, and show its progress.")
@_timeout_option
@listing_options
def show(batch_id: str, timeout: float | None, *, follow: bool) -> None:
    """Show a batch and its progress.

    Exit codes with --follow: 1 if the batch failed or was cancelled, 5 if some items were not answered, or it has not
    ended in time.

    \b
    Example:
      nooble-orch batches show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --follow
    """
    with Api(find_target(), operator=True) as api:
        if follow:
            _follow(api, batch_id, timeout)
        else:
            show_record(api.get(f"batch.get/{batch_id}"))


def _follow(api: Api, batch_id: str, timeout: float | None) -> None:
    """Wait for the end of a batch, and show it; raise a failure if an item was not answered."""
    limit = inf if timeout is None else timeout

    first: dict[str, Any] | None = None

    def waiting(batch: dict[str, Any]) -> str | None:
        """Return the task of the first item that has not begun, where none is running."""
        nonlocal first
        if batch["running"]:
            first = None
        elif first is None:
            first = next(iter(api.listed(f"batch.results/{batch_id}", 1, status="pending")), None)
        return first["task_id"] if first else None

    try:
        with _progress() as tell:
            route = f"batch.get/{batch_id}"
            batch = poll(api, route, _has_ended, timeout=limit, tell=tell, what="The batch", task_of=waiting)
    except KeyboardInterrupt:
        note(f"The batch goes on; 'nooble-orch batches cancel {batch_id}' stops it.")
        raise
    show_record(batch)
    if not _has_ended(batch):
        raise CliFailure(f"The batch has not ended after {limit:g} s; it goes on.", "", Exit.INCOMPLETE)
    if batch["status"] != "completed":
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
      nooble-orch batches results BATCH --status failed
    """
    with Api(find_target(), operator=True) as api:
        found = api.listed(f"batch.results/{batch_id}", limit, status=status)
        show_list(found, _ITEM_COLUMNS, "No items found.")


@batches.command()
@_batch_argument
@confirm_options
@listing_options
def cancel(batch_id: str, *, yes: bool) -> None:
    """Cancel a batch: stop its running items, start no others.

    \b
    Example:
      nooble-orch batches cancel 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    must_be_confirmable(yes=yes)
    with Api(find_target(), operator=True) as api:
        confirm(lambda: f"Cancel batch {batch_id} ({_counts(api.get(f'batch.get/{batch_id}'))})?", yes=yes)
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
    from rich.progress import (  # noqa: PLC0415 - lists draw nothing
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from cli.core.console import make_console  # noqa: PLC0415 - as its neighbour

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
