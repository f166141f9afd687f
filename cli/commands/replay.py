"""`tasks replay`: run an ended task again as a new one, optionally with changes, and compare the answers."""

import difflib
import json
from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.completion import complete_tasks
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import note, printable, show_record
from cli.core.values import json_value

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "partial"})
_LOOK_EVERY: Final = 0.3


def _assignment(text: str) -> tuple[str, Any]:
    """Parse `path=value`; the value is JSON, or else a string."""
    path, sign, value = text.partition("=")
    if not sign or not path:
        raise click.BadParameter(f"'{text}' is not PATH=VALUE, such as payload.content=Hello.")
    try:
        return path, json_value(value)
    except ValueError:
        return path, value


@click.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_tasks)
@click.option(
    "--set", "changes", type=_assignment, multiple=True, metavar="PATH=VALUE",
    help="Change the input: payload.…, priority or metadata.timeout_ms.",
)  # fmt: skip
@click.option("--from-call", metavar="NAME", help="Keep the results of the calls before this one.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--diff", is_flag=True, help="Wait for the new answer, and show its difference from the old one.")
@click.option("--timeout", type=click.FloatRange(0), default=120.0, show_default=True, help="Time limit in seconds.")
@listing_options
def replay(
    task_id: str,
    changes: tuple[tuple[str, Any], ...],
    from_call: str | None,
    timeout: float,
    *,
    dry_run: bool,
    diff: bool,
) -> None:
    """Run an ended task again, as a new task; the old one stays. For operators and admins.

    \b
    Example:
      nooble-orch tasks replay 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --set payload.content=Hello --diff
    """
    body: dict[str, Any] = {"changes": dict(changes), "dry_run": dry_run}
    if from_call:
        body["from_call"] = from_call
    with Api(find_target(), operator=True) as api:
        replayed = api.post(f"task.replay/{task_id}", body)
        if not diff or dry_run:
            show_record(replayed)
            return
        note(f"Task {replayed['task_id']} was created; waiting for its end.")
        before = api.get(f"task.get/{task_id}")
        new_id = replayed["task_id"]
        after = api.poll(f"task.get/{new_id}", _has_ended, every=_LOOK_EVERY, timeout=timeout)
    if not _has_ended(after):
        message = f"Task {new_id} has not ended after {timeout:g} s; it goes on."
        raise CliFailure(message, f"'nooble-orch tasks show {new_id}' shows it.", Exit.INCOMPLETE)
    old, new = _lines(before), _lines(after)
    for line in difflib.unified_diff(old, new, f"old {task_id}", f"new {new_id}", lineterm=""):
        print(printable(line))
    if old == new:
        note("The answers are the same.")


def _has_ended(task: dict[str, Any]) -> bool:
    return task["status"] in _ENDED


def _lines(task: dict[str, Any]) -> list[str]:
    """Return the outcome of a task as lines: the text of its answer, or else the whole result."""
    result, error = task.get("result") or {}, task.get("error")
    lines = [f"status: {task['status']}"]
    if error:
        lines.append(f"error: {error['code']} {error['message']}")
    if "content" in result:
        return [*lines, *str(result["content"]).splitlines()]
    return [*lines, *json.dumps(result, indent=2, ensure_ascii=False).splitlines()] if result else lines
