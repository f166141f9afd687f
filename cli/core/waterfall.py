"""The timeline of a request as a waterfall that fits a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from cli.core.output import printable

_BAR: Final = 26
_WORDS: Final = {"its_turn": "its turn", "taken_over": "taken over", "handed_back": "handed back",
                 "cancel_asked": "cancel asked"}  # fmt: skip
_IDLE: Final = frozenset({"accepted", "its_turn", "parked", "resumed", "handed_back", "retried"})
"""Steps after which a task waits: what follows is drawn lightly."""


def waterfall(timeline: Mapping[str, Any], width: int = 80) -> list[str]:
    """Draw a timeline: a line for each step, with a bar from it to the next step of its task.

    Args:
        timeline: as the API has it.
        width: of a line, in cells.
    """
    steps: Sequence[Mapping[str, Any]] = timeline["steps"]
    whole = max(1, int(timeline["duration_ms"]))
    several = len({step["task_id"] for step in steps}) > 1
    head = f"{timeline['correlation_id']}  {timeline['started_at']}  {duration(timeline['duration_ms'])}"
    lines: list[str] = [printable(head)]
    for number, step in enumerate(steps):
        after = [one for one in steps[number + 1 :] if one["task_id"] == step["task_id"]]
        end = after[0]["after_ms"] if after else step["after_ms"]
        line = f"{duration(step['after_ms']):>9} {_bar(step, end, whole)} {_says(step, several=several)}"
        text = Text(line)
        text.truncate(width, overflow="ellipsis")
        lines.append(text.plain)
    return lines


def duration(milliseconds: int) -> str:
    """Write a duration, such as `12 ms` or `3.2 s`."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 600_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds / 60_000:.1f} min"


def _bar(step: Mapping[str, Any], end: int, whole: int) -> str:
    begin = int(step["after_ms"])
    left = min(_BAR - 1, begin * _BAR // whole)
    size = max(1, min(_BAR - left, round((end - begin) * _BAR / whole)))
    mark = "◆" if step["step"] == "finished" else "░" if step["step"] in _IDLE else "█"
    return " " * left + mark * size + " " * (_BAR - left - size)


def _says(step: Mapping[str, Any], *, several: bool) -> str:
    words = [_WORDS.get(step["step"], step["step"])]
    if several:
        words.insert(0, step["task_id"][-6:])
    if step["step"] in {"claimed", "taken_over"} and step["attempt"] > 1:
        words.append(f"#{step['attempt']}")
    if step["detail"]:
        words.append(step["detail"])
    if step["node"]:
        words.append(f"on {step['node']}")
    return printable(" ".join(words))
