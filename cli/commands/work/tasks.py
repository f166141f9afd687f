"""`tasks`: list, show, cancel and replay tasks, and tell what they wait for."""

from typing import Final

import click

from cli.commands.work.bulk import LIVE, BulkWork, live_tasks, run_bulk
from cli.commands.work.replay import replay
from cli.commands.work.task_filters import Folded, TaskFilters, scope_of, task_filters
from cli.core.client import Api
from cli.core.completion import complete_tasks
from cli.core.confirm import confirm, counted, must_be_confirmable
from cli.core.context import find_target
from cli.core.failures import CliFailure
from cli.core.options import ALL, dry_run_option, limit_option, listing_options, watch_option, yes_option
from cli.core.output import Column, is_table, note, show_list, show_record

_COLUMNS: Final = (
    Column("TASK", "task_id", whole=True),
    Column("ITEMS", "items", sparse=True),
    Column("TYPE", "type", whole=True, rank=2),
    Column("STATUS", "status", whole=True),
    Column("AGE", "created_at", age=True),
    Column("ERROR", "error.code", whole=True, rank=1),
    Column("USER", "user_id", whole=True, wide=True),
    Column("AGENT", "agent_id", whole=True, wide=True),
    Column("SESSION", "session_id", whole=True, wide=True),
    Column("TRIES", "attempt", wide=True),
    Column("REPLAYED AS", "replayed_as", whole=True, wide=True),
    Column("CANCELLED BY", "cancelled_by", whole=True, wide=True),
    Column("CORRELATION", "correlation_id", whole=True, wide=True),
)
_UNDONE: Final = frozenset({"failed", "partial"})
_OF_WORKFLOW: Final = (
    "workflow_id", "progress", "steps_completed", "steps_total", "current_step", "status_message", "input_request",
)  # fmt: skip
_task_argument = click.argument("task_id", metavar="TASK", shell_complete=complete_tasks)


@click.group()
@listing_options
def tasks() -> None:
    """List, show, cancel and replay tasks.

    \b
    Example:
      nooble-orch tasks list --status failed
    """


tasks.add_command(replay)


@tasks.command("list")
@task_filters
@click.option("--items", is_flag=True, help="In a table: a line for each item of a batch, not one for many of them.")
@limit_option()
@watch_option
@listing_options
def list_tasks(wanted: TaskFilters, limit: int, *, items: bool) -> None:
    """List tasks, newest first. Items of a batch that stand together in a table are folded into one line.

    \b
    Example:
      nooble-orch tasks list --status failed --since 1h -o jsonl | jq .error.code
      nooble-orch tasks list --tenant acme --user ada --watch
    """
    with Api(find_target(), operator=True) as api:
        found = api.listed("task.list", limit if items or not is_table() else ALL, **wanted.query())
        show_list(found if items or not is_table() else Folded(found, limit), _COLUMNS, "No tasks found.")


@tasks.command()
@_task_argument
@listing_options
def show(task_id: str) -> None:
    """Show a task.

    \b
    Example:
      nooble-orch tasks show 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        found = api.get(f"task.get/{task_id}")
        if found["type"] == "workflow.execute":
            workflow = api.get(f"workflow.status/{task_id}")
            # The task waits while the Workflow Engine runs the workflow, so its status tells nothing of the progress.
            found |= {name: workflow[name] for name in _OF_WORKFLOW if workflow[name] is not None}
        show_record(found)


@tasks.command()
@_task_argument
@listing_options
def why(task_id: str) -> None:
    """Show what a task waits for, and when it will probably start.

    \b
    Example:
      nooble-orch tasks why 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        wait = api.get(f"task.why/{task_id}")
    show_record(wait)
    if wait.get("status") in _UNDONE:
        note(f"'nooble-orch tasks show {task_id}' shows its error.")


@tasks.command()
@click.argument("task_ids", metavar="[TASK]...", nargs=-1, shell_complete=complete_tasks)
@task_filters
@dry_run_option
@yes_option
@listing_options
def cancel(task_ids: tuple[str, ...], wanted: TaskFilters, *, dry_run: bool, yes: bool) -> None:
    """Cancel queued, waiting or running tasks: those that are named, or all that the options choose.

    Asks with their number first. Exit code 5: some had ended before.

    \b
    Example:
      nooble-orch tasks cancel 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
      nooble-orch tasks cancel --type chat.message --user ada --dry-run
    """
    must_be_confirmable(yes=yes or dry_run)
    with Api(find_target(), operator=True) as api:
        work = BulkWork("cancel", "cancelled", lambda task: api.post(f"task.cancel/{task['task_id']}"), LIVE)
        work.must_fit(wanted.status)
        if len(task_ids) == 1 and not dry_run:
            wanted.must_be_empty()
            _cancel_one(api, task_ids[0], yes=yes)
            return
        if task_ids:
            wanted.must_be_empty()
        named = [api.get(f"task.get/{task_id}") for task_id in dict.fromkeys(task_ids)]
        chosen = named or list(live_tasks(api, wanted))
        if batches := {task["task_id"].partition(".")[0] for task in chosen if "." in task["task_id"]}:
            # Only items within the window of a batch are tasks yet: cancelled, they make room for the next ones.
            note(f"Among them are items of {counted(len(batches), 'batch', 'batches')}, which go on with other items.")
            note("'nooble-orch batches cancel BATCH' stops a batch.")
        run_bulk(work, chosen, scope_of(api, wanted), dry_run=dry_run, yes=yes)


def _cancel_one(api: Api, task_id: str, *, yes: bool) -> None:
    confirm(f"Cancel task {task_id}?", yes=yes)
    answer = api.post(f"task.cancel/{task_id}")
    show_record(answer)
    if not answer["cancelled"]:
        raise CliFailure("The task had already ended; nothing was cancelled.", f"nooble-orch tasks show {task_id}")
