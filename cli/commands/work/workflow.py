"""`workflow`: run a workflow, or a plan from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.completion import complete_workflows
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import Duration, limit_option, listing_options, watch_option
from cli.core.output import Column, note, note_changes, show_list, show_record
from cli.core.values import assignment, json_value
from cli.waiting.polling import poll

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "partial"})
_COLUMNS: Final = (
    Column("WORKFLOW", "workflow_id", whole=True),
    Column("NAME", "name", rank=1),
    Column("DESCRIPTION", "description"),
)


@click.group()
@listing_options
def workflow() -> None:
    """List workflows and run one.

    \b
    Example:
      nooble-orch workflow run arithmetic 'expression=(3 + 4) * 2' --wait
    """


@workflow.command("list")
@limit_option()
@watch_option
@listing_options
def list_workflows(limit: int) -> None:
    """List the workflows of a tenant.

    \b
    Example:
      nooble-orch workflow list --tenant acme
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("workflow.list", limit), _COLUMNS, "No workflows found.")


@workflow.command()
@click.argument("workflow_id", metavar="[WORKFLOW]", required=False, shell_complete=complete_workflows)
@click.argument("inputs", metavar="[NAME=VALUE]...", nargs=-1)
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE", help="Run this plan (JSON)."
)
@click.option("--wait", is_flag=True, help="Wait for the end, and show how far it is.")
@click.option("--timeout", type=Duration(), default=600.0, show_default=True, metavar="TIME", help="Its limit.")
@listing_options
def run(workflow_id: str | None, inputs: tuple[str, ...], plan: Path | None, timeout: float, *, wait: bool) -> None:
    """Run a workflow of the Workflow Engine, or a plan of your own; a VALUE is JSON, or else text.

    Exit codes with --wait: 1 if it failed or was cancelled, 5 if it has not ended in time.

    \b
    Example:
      nooble-orch workflow run arithmetic 'expression=(3 + 4) * 2' --wait
      nooble-orch workflow run --plan plan.json city=Madrid
    """
    named = [*([workflow_id] if workflow_id and plan else []), *inputs]
    try:
        body: dict[str, Any] = {"input": dict(assignment(text) for text in named)}
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if plan is not None:
        body["plan"] = _read(plan)
    elif workflow_id:
        body["workflow_id"] = workflow_id
    else:
        raise click.UsageError("Give a workflow, or --plan FILE.")
    with Api(find_target(), operator=True) as api:
        accepted = api.post("workflow.execute", body)
        if not wait:
            show_record(accepted)
            return
        task_id: str = accepted["task_id"]
        try:
            state = poll(
                api,
                f"workflow.status/{task_id}",
                _has_ended,
                timeout=timeout,
                tell=_teller(task_id),
                what="The workflow",
                task_of=lambda _: task_id,
            )
        except KeyboardInterrupt:
            note(f"The workflow goes on; 'nooble-orch tasks cancel {task_id}' stops it.")
            raise
        task = api.get(f"task.get/{task_id}")
    show_record(task)
    if not _has_ended(state):
        raise CliFailure(f"The workflow has not ended after {timeout:g} s; it goes on.", "", Exit.INCOMPLETE)
    if task["status"] != "completed":
        raise CliFailure(f"The workflow has ended: {task['status']}.", f"nooble-orch trace {task_id}", Exit.FAILED)


def _teller(task_id: str) -> Callable[[dict[str, Any]], None]:
    """Return what tells how far a workflow is, and what it asks a person for, each once."""
    moved, asked = note_changes(), note_changes()

    def tell(state: dict[str, Any]) -> None:
        step = f", {state['current_step']}" if state.get("current_step") else ""
        done, total = state.get("steps_completed") or 0, state.get("steps_total") or 0
        words = f"{state['status']}: {done} of {total} steps{step}" if total else state["status"]
        moved(words, words)
        if question := state.get("input_request"):
            answer = f"""'{{"node_id": "{question["node_id"]}", "input": …}}'"""
            how = f"nooble-orch api POST workflow.input/{task_id} -d {answer}"
            asked(question, f"It asks: {question['prompt']}\nTo answer: {how}")

    return tell


def _has_ended(state: dict[str, Any]) -> bool:
    return state["status"] in _ENDED


def _read(file: Path) -> Any:
    try:
        return json_value(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise click.BadParameter(f"{file} can't be read as JSON: {error}.") from None
