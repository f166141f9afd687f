"""Work on many tasks at once: counts first, then the question, then progress and receipts."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import click
from attrs import frozen

from cli.commands.work.task_filters import TaskFilters
from cli.core.client import Api
from cli.core.confirm import confirm, counted
from cli.core.failures import CliFailure, Exit
from cli.core.options import ALL
from cli.core.output import Column, note, show_list

LIVE: Final = ("pending", "processing", "retrying", "waiting")
ENDED: Final = ("cancelled", "completed", "failed", "partial")
_EVERY: Final = 20
_RECEIPTS: Final = (
    Column("TASK", "task_id", whole=True),
    Column("RESULT", "result", whole=True),
    Column("AS", "new_task_id", whole=True, sparse=True),
    Column("REASON", "reason", sparse=True),
)


@frozen
class BulkWork:
    """What is done to each task."""

    verb: str
    """As a question has it: `cancel`."""
    done: str
    """As a receipt has it: `cancelled`."""
    do: Callable[[dict[str, Any]], dict[str, Any]]
    """Does it to one task; returns the answer of the service."""
    statuses: Collection[str]
    """Of the tasks that it can be done to."""

    def must_fit(self, status: str | None) -> None:
        """Check that tasks with a status can be chosen for it; None: any.

        Raises:
            UsageError: they can't.
        """
        if status is not None and status not in self.statuses:
            raise click.UsageError(f"Only tasks with one of these are {self.done}: {', '.join(sorted(self.statuses))}.")


def live_tasks(api: Api, wanted: TaskFilters) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a choice that have not ended."""
    for status in [wanted.status] if wanted.status else LIVE:
        yield from api.listed("task.list", ALL, **wanted.query() | {"status": status})


def run_bulk(work: BulkWork, tasks: Iterable[dict[str, Any]], scope: str, *, dry_run: bool, yes: bool) -> None:
    """Do something to many tasks.

    Args:
        work: what is done.
        tasks: to which.
        scope: whose they are, in words.
        dry_run: only tell how many there are, and which.
        yes: do not ask.

    Raises:
        CliFailure: some could not be done, or the user declines.
    """
    chosen = list(tasks)
    note(f"{counted(len(chosen), 'task')} {scope}: {_by_status(chosen)}.")
    if dry_run or not chosen:
        show_list([{"task_id": task["task_id"], "result": _foreseen(work, task)} for task in chosen], _RECEIPTS)
        return
    confirm(f"{work.verb.capitalize()} {counted(len(chosen), 'task')} {scope}?", yes=yes)
    receipts: list[dict[str, Any]] = []
    try:
        for task in chosen:
            receipts.append(_receipt(work, task))
            if len(receipts) % _EVERY == 0 or len(receipts) == len(chosen):
                note(_so_far(work, receipts, len(chosen)))
    except (KeyboardInterrupt, CliFailure):
        show_list(receipts, _RECEIPTS)
        note(f"Stopped after {len(receipts)} of {len(chosen)}; the same command goes on with the rest.")
        raise
    show_list(receipts, _RECEIPTS)
    failed = len(receipts) - _count_done(work, receipts)
    if failed:
        sys.stdout.flush()
        message = f"{failed} of {len(receipts)} tasks were not {work.done}."
        raise CliFailure(message, "The list has the reasons.", Exit.INCOMPLETE)


def _foreseen(work: BulkWork, task: dict[str, Any]) -> str:
    return f"would be {work.done}" if task["status"] in work.statuses else f"is {task['status']}"


def _so_far(work: BulkWork, receipts: list[dict[str, Any]], chosen: int) -> str:
    done = _count_done(work, receipts)
    left_out = f", {len(receipts) - done} not" if done < len(receipts) else ""
    return f"{done} of {chosen} {work.done}{left_out}"


def _count_done(work: BulkWork, receipts: list[dict[str, Any]]) -> int:
    return sum(receipt["result"] == work.done for receipt in receipts)


def _receipt(work: BulkWork, task: dict[str, Any]) -> dict[str, Any]:
    task_id = task["task_id"]
    try:
        answer = work.do(task)
    except CliFailure as failure:
        # A service that is away or does not answer, or a key that opens nothing, would refuse the others as well.
        of_all = failure.error_code.startswith(("ORCH_AUTH", "ORCH_TENANT"))
        if failure.code is Exit.UNREACHABLE or not failure.error_code or of_all:
            raise
        return {"task_id": task_id, "result": "refused", "reason": failure.message}
    if answer.get("cancelled") is False:
        return {"task_id": task_id, "result": "had ended", "reason": "It ended before."}
    new_id = answer.get("task_id")
    return {"task_id": task_id, "result": work.done} | (
        {"new_task_id": new_id} if new_id not in {None, task_id} else {}
    )


def _by_status(tasks: Iterable[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task["status"]] = counts.get(task["status"], 0) + 1
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
