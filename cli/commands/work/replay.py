"""`tasks replay`: run an ended task again as a new one, optionally with changes, and compare the answers."""

import json
import time
from typing import Any, Final

import click
from attrs import evolve

from cli.commands.work.bulk import ENDED, BulkWork, run_bulk
from cli.commands.work.task_filters import TaskFilters, scope_of, task_filters
from cli.core.client import Api
from cli.core.completion import complete_tasks
from cli.core.confirm import must_be_confirmable
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import ALL, Duration, dry_run_option, listing_options, yes_option
from cli.core.output import note, show_record
from cli.core.values import json_value
from cli.display.glyphs import printable
from cli.waiting.polling import poll

_PAYLOAD: Final = "payload."


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
@click.argument("task_id", metavar="[TASK]", required=False, shell_complete=complete_tasks)
@task_filters
@click.option(
    "--set", "changes", type=_assignment, multiple=True, metavar="PATH=VALUE",
    help="Change the input: payload.…, priority or metadata.timeout_ms.",
)  # fmt: skip
@click.option(
    "--from-call",
    metavar="NAME",
    help="Keep the results of the calls before this one; a chat turn has the call execute alone.",
)
@dry_run_option
@click.option("--rate", type=click.FloatRange(0.01, 10_000), metavar="N", help="Maximum number of replays a second.")
@yes_option
@click.option("--diff", is_flag=True, help="Wait for the new answer, and show its difference from the old one.")
@click.option("--timeout", type=Duration(), default=120.0, show_default=True, metavar="TIME", help="Time limit.")
@listing_options
def replay(
    task_id: str | None,
    wanted: TaskFilters,
    changes: tuple[tuple[str, Any], ...],
    from_call: str | None,
    rate: float | None,
    timeout: float,
    *,
    dry_run: bool,
    diff: bool,
    yes: bool,
) -> None:
    """Run ended tasks again, as new tasks; the old ones stay. For operators and admins.

    Either the task that is named, or all that the options choose, by default failed ones that were not replayed: it
    asks with their number first. With --dry-run --diff it shows the change of the input. Exit code 5: some refused.

    \b
    Example:
      nooble-orch tasks replay 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11 --diff
      nooble-orch tasks replay TASK --set payload.content=Hello --dry-run --diff
      nooble-orch tasks replay --since 1h --error-code ORCH_CONN_001 --rate 5
    """
    body: dict[str, Any] = {"changes": dict(changes), "dry_run": dry_run}
    if from_call:
        body["from_call"] = from_call
    if task_id is None:
        if diff:
            raise click.UsageError("--diff compares the answers of one task: name it.")
        must_be_confirmable(yes=yes or dry_run)
        _replay_many(wanted, body | {"dry_run": False}, rate, dry_run=dry_run, yes=yes)
        return
    wanted.must_be_empty()
    with Api(find_target(), operator=True) as api:
        replayed = api.post(f"task.replay/{task_id}", body)
        if diff and dry_run:
            _show_input(api.get(f"task.get/{task_id}"), replayed, dict(changes))
            return
        if not diff:
            show_record(replayed)
            return
        note(f"Task {replayed['task_id']} was created; waiting for its end.")
        before = api.get(f"task.get/{task_id}")
        new_id: str = replayed["task_id"]
        route = f"task.get/{new_id}"
        after = poll(api, route, _has_ended, timeout=timeout, what="The replay", task_of=lambda _: new_id)
    if not _has_ended(after):
        message = f"Task {new_id} has not ended after {timeout:g} s; it goes on."
        raise CliFailure(message, f"'nooble-orch tasks show {new_id}' shows it.", Exit.INCOMPLETE)
    old, new = _lines(before), _lines(after)
    _show_difference(old, new, f"old {task_id}", f"new {new_id}")
    if old == new:
        note("The answers are the same.")


def _replay_many(wanted: TaskFilters, body: dict[str, Any], rate: float | None, *, dry_run: bool, yes: bool) -> None:
    chosen = wanted if wanted.status else evolve(wanted, status="failed")

    def replay_one(task: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = api.post(f"task.replay/{task['task_id']}", body)
        if rate is not None:
            time.sleep(1 / rate)
        return answer

    work = BulkWork("replay", "replayed", replay_one, ENDED)
    work.must_fit(chosen.status)
    with Api(find_target(), operator=True) as api:
        found = api.listed("task.list", ALL, **chosen.query())
        tasks = [task for task in found if not task.get("replayed_as")]
        run_bulk(work, tasks, scope_of(api, chosen), dry_run=dry_run, yes=yes)


def _show_input(task: dict[str, Any], replayed: dict[str, Any], changes: dict[str, Any]) -> None:
    """Show what a replay would change of the input of a task."""
    before, after = _json_lines(task["input"]), _json_lines(replayed["input"])
    _show_difference(before, after, f"input of {task['task_id']}", "input of the replay")
    if before == after:
        note("The input stays the same.")
    for path, value in changes.items():
        if not path.startswith(_PAYLOAD):
            print(printable(f"{path} = {json.dumps(value, ensure_ascii=False)}"))


def _show_difference(old: list[str], new: list[str], old_name: str, new_name: str) -> None:
    from difflib import unified_diff  # noqa: PLC0415 - lists of tasks, whose module has this command, do without

    for line in unified_diff(old, new, old_name, new_name, lineterm=""):
        print(printable(line))


def _json_lines(value: Any) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).splitlines()


def _has_ended(task: dict[str, Any]) -> bool:
    return task["status"] in ENDED


def _lines(task: dict[str, Any]) -> list[str]:
    """Return the outcome of a task as lines: the text of its answer, or else the whole result."""
    result, error = task.get("result") or {}, task.get("error")
    lines = [f"status: {task['status']}"]
    if error:
        lines.append(f"error: {error['code']} {error['message']}")
    if "content" in result:
        return [*lines, *str(result["content"]).splitlines()]
    return [*lines, *json.dumps(result, indent=2, ensure_ascii=False).splitlines()] if result else lines
