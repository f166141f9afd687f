"""The timeline of a request as a waterfall chart of text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cli.display.cells import width_of, wrapped
from cli.display.glyphs import is_unicode, printable

_BAR: Final = 26
_SHORT_BAR: Final = 8
"""A narrow terminal has room for the names of steps before it has for their bars."""
_BESIDE: Final = 54
_IDLE: Final = frozenset({"accepted", "its_turn", "parked", "resumed", "handed_back", "retried"})
"""Steps after which a task waits; their bars are light."""


def waterfall(timeline: Mapping[str, Any], width: int = 80) -> list[str]:
    """Return the lines of a timeline: one a step, with a bar from the step to the next one of its task.

    Args:
        timeline: the timeline, as the API returns it.
        width: the width of a line, in terminal cells.
    """
    steps: Sequence[Mapping[str, Any]] = timeline["steps"]
    whole = max(1, int(timeline["duration_ms"]))
    going_on = {task["task_id"] for task in timeline.get("open", ())}
    several = len({step["task_id"] for step in steps}) > 1
    bar = min(_BAR, max(_SHORT_BAR, width - _BESIDE))
    which, when = (
        printable(timeline["correlation_id"]),
        f"{timeline['started_at']}  {duration(timeline['duration_ms'])}",
    )
    head = f"{which}  {when}"
    lines = [head] if width_of(head) <= width else [which, when]
    for number, step in enumerate(steps):
        following = next((one for one in steps[number + 1 :] if one["task_id"] == step["task_id"]), None)
        # The last step of a task that has not ended goes on.
        end = following["after_ms"] if following else whole if step["task_id"] in going_on else step["after_ms"]
        head = f"{duration(step['after_ms']):>9} {_bar(step, end, whole, bar)} "
        lines += _beside(head, _label(step, several=several), width)
    for task in timeline.get("open", ()):
        name = f"{task['task_id'][-6:]} " if several else ""
        head = f"{duration(timeline['duration_ms']):>9} {' ' * (bar - 1)}{_mark('>', '▸')} "
        says = f"{task['detail'] or task['status']} (since {duration(task['for_ms'])})"
        lines += _beside(head, printable(f"{name}open: {says}"), width)
    return lines


def _beside(head: str, label: str, width: int) -> list[str]:
    """Return the lines of a label beside a head; what does not fit the width goes on below, in the same column."""
    first, *rest = wrapped(label, width - width_of(head))
    return [head + first, *(" " * width_of(head) + line for line in rest)]


def _mark(plain: str, glyph: str) -> str:
    """Return a mark that stdout carries."""
    return glyph if is_unicode() else plain


def duration(milliseconds: int) -> str:
    """Format a duration, such as `12 ms` or `3.20 s`."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 600_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds / 60_000:.1f} min"


def _bar(step: Mapping[str, Any], end: int, whole: int, width: int) -> str:
    begin = int(step["after_ms"])
    left = min(width - 1, begin * width // whole)
    size = max(1, min(width - left, round((end - begin) * width / whole)))
    mark = _mark("#", "█")
    if step["step"] in _IDLE:
        mark = _mark(".", "░")
    if step["step"] == "finished":
        mark = _mark("*", "◆")
    return " " * left + mark * size + " " * (width - left - size)


def _label(step: Mapping[str, Any], *, several: bool) -> str:
    words = [step["step"].replace("_", " ")]
    if several:
        words.insert(0, step["task_id"][-6:])
    if step["step"] in {"claimed", "taken_over"} and step["attempt"] > 1:
        words.append(f"#{step['attempt']}")
    if step["detail"]:
        words.append(step["detail"])
    if step["node"]:
        words.append(f"on {step['node']}")
    return printable(" ".join(words))
