"""The timeline of a request as a waterfall chart of text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from cli.core.output import printable
from cli.display.glyphs import ellipsis, is_unicode

_BAR: Final = 26
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
    head = f"{timeline['correlation_id']}  {timeline['started_at']}  {duration(timeline['duration_ms'])}"
    lines: list[str] = [printable(head)]
    for number, step in enumerate(steps):
        following = next((one for one in steps[number + 1 :] if one["task_id"] == step["task_id"]), None)
        # The last step of a task that has not ended goes on.
        end = following["after_ms"] if following else whole if step["task_id"] in going_on else step["after_ms"]
        line = Text(f"{duration(step['after_ms']):>9} {_bar(step, end, whole)} {_label(step, several=several)}")
        lines.append(_cut(line, width))
    for task in timeline.get("open", ()):
        name = f"{task['task_id'][-6:]} " if several else ""
        head = f"{duration(timeline['duration_ms']):>9} {' ' * (_BAR - 1)}{_mark('>', '▸')} "
        says = f"{task['detail'] or task['status']} (since {duration(task['for_ms'])})"
        lines.append(_cut(Text(printable(f"{head}{name}open: {says}")), width))
    return lines


def _cut(line: Text, width: int) -> str:
    if line.cell_len <= width:
        return line.plain
    line.truncate(width - 1)
    return f"{line.plain.rstrip()}{ellipsis()}"


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


def _bar(step: Mapping[str, Any], end: int, whole: int) -> str:
    begin = int(step["after_ms"])
    left = min(_BAR - 1, begin * _BAR // whole)
    size = max(1, min(_BAR - left, round((end - begin) * _BAR / whole)))
    mark = _mark("#", "█")
    if step["step"] in _IDLE:
        mark = _mark(".", "░")
    if step["step"] == "finished":
        mark = _mark("*", "◆")
    return " " * left + mark * size + " " * (_BAR - left - size)


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
