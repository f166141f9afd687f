"""`tasks`: list, show, cancel and replay tasks, and tell what they wait for."""

from typing import Final

import click

from cli.commands.replay import replay
from cli.core.client import Api
from cli.core.completion import complete_sessions, complete_tasks
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.failures import CliFailure
from cli.core.options import choice_option, limit_option, listing_options, yes_option
from cli.core.output import Column, show_list, show_record

STATUSES: Final = (
    "pending", "processing", "retrying", "waiting", "completed", "failed", "cancelled", "partial",
)  # fmt: skip
_COLUMNS: Final = (
    Column("TASK", "task_id", whole=True),
    Column("TYPE", "type", whole=True),
    Column("STATUS", "status", whole=True),
    Column("AGE", "created_at", age=True),
    Column("ERROR", "error.code"),
)
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
@choice_option("--status", STATUSES, "Only tasks with this status")
@click.option("--type", "kind", metavar="TYPE", help="Only tasks of this type, such as chat.message.")
@click.option("--session", metavar="SESSION", help="Only tasks of this session.", shell_complete=complete_sessions)
@limit_option()
@listing_options
def list_tasks(status: str | None, kind: str | None, session: str | None, limit: int) -> None:
    """List tasks, newest first.

    \b
    Example:
      nooble-orch tasks list --status failed -o jsonl | jq .error.code
    """
    with Api(find_target(), operator=True) as api:
        found = api.listed("task.list", limit, status=status, type=kind, session_id=session)
        show_list(found, _COLUMNS, "No tasks found.")


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
        show_record(api.get(f"task.why/{task_id}"))


@tasks.command()
@_task_argument
@yes_option
@listing_options
def cancel(task_id: str, *, yes: bool) -> None:
    """Cancel a queued, waiting or running task.

    \b
    Example:
      nooble-orch tasks cancel 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --yes
    """
    confirm(f"Cancel task {task_id}?", yes=yes)
    with Api(find_target(), operator=True) as api:
        answer = api.post(f"task.cancel/{task_id}")
    show_record(answer)
    if not answer["cancelled"]:
        raise CliFailure("The task had already ended; nothing was cancelled.", f"nooble-orch tasks show {task_id}")
