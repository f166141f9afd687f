"""`tasks replay`: do a task again, changed or not, and compare the answers."""

import difflib
import json
import time
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


class _Assignment(click.ParamType["tuple[str, Any]"]):
    """`path=value`, where a value that is JSON is taken as such."""

    name = "path=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        path, sign, text = str(value).partition("=")
        if not sign or not path:
            self.fail(f"'{value}' is not PATH=VALUE, such as payload.content=Hello.", param, ctx)
        try:
            return path, json_value(text)
        except ValueError:
            return path, text


@click.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_tasks)
@click.option(
    "--set", "changes", type=_Assignment(), multiple=True, metavar="PATH=VALUE",
    help="Change the input: payload.…, priority or metadata.timeout_ms.",
)  # fmt: skip
@click.option("--from-call", metavar="NAME", help="Do not do again what was done before this call.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--diff", is_flag=True, help="Wait for the new answer, and show it beside the old one.")
@click.option("--timeout", type=click.FloatRange(0), default=120.0, show_default=True, help="Seconds to wait.")
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
    """Do a task again that has ended, as a new task; the old one stays. For operators and admins.

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
        note(f"Task {replayed['task_id']} was made; waiting for it to end.")
        before = api.get(f"task.get/{task_id}")
        after = _ended(api, replayed["task_id"], timeout)
    old, new = _lines(before), _lines(after)
    for line in difflib.unified_diff(old, new, f"old {task_id}", f"new {after['task_id']}", lineterm=""):
        print(printable(line))
    if old == new:
        note("The answers are the same.")


def _ended(api: Api, task_id: str, timeout: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while True:
        task: dict[str, Any] = api.get(f"task.get/{task_id}")
        if task["status"] in _ENDED:
            return task
        if time.monotonic() >= deadline:
            message = f"Task {task_id} has not ended after {timeout:g} s; it goes on."
            raise CliFailure(message, f"Look again with 'nooble-orch tasks show {task_id}'.", Exit.INCOMPLETE)
        time.sleep(_LOOK_EVERY)


def _lines(task: dict[str, Any]) -> list[str]:
    """Return what a task has come to: its answer's text, or all there is."""
    result, error = task.get("result") or {}, task.get("error")
    lines = [f"status: {task['status']}"]
    if error:
        lines.append(f"error: {error['code']} {error['message']}")
    if "content" in result:
        return [*lines, *str(result["content"]).splitlines()]
    return [*lines, *json.dumps(result, indent=2, ensure_ascii=False).splitlines()] if result else lines
