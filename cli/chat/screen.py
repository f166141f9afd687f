"""Output of answers: growing Markdown on a terminal, plain text in a pipe."""

import json
import re
import sys
import time
from typing import Any, Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from cli.chat.turn import Turn
from cli.core.follow import Frame
from cli.core.output import make_console, note, printable

_DRAW_SECONDS: Final = 0.05
"""Minimum time between two drawings of an answer: drawing takes longer than receiving."""
STARTS_OVER: Final = "The answer starts over; the text above is void."
_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class Screen(Protocol):
    """The output of a chat."""

    def event(self, frame: Frame) -> None:
        """Take an event of the turn, before `update`."""

    def update(self, turn: Turn) -> None:
        """Show the answer so far."""

    def finish(self, turn: Turn) -> None:
        """Show the rest of the answer, its tool calls, sources and faults."""

    def say(self, text: str) -> None:
        """Show a line that is no part of an answer."""

    def stop(self) -> None:
        """Stop drawing, even in the middle of an answer."""


class PlainScreen:
    """Plain text: the answer on stdout, everything else on stderr."""

    def __init__(self) -> None:
        self._shown = ""
        self._attempt = 1

    def event(self, frame: Frame) -> None:
        """Show nothing: the turn has what the event says."""

    def update(self, turn: Turn) -> None:
        """Write the new part of the answer."""
        if turn.attempt != self._attempt or not turn.text.startswith(self._shown):
            if self._shown:
                self._write("\n")
                note(STARTS_OVER)
            self._shown, self._attempt = "", turn.attempt
        self._write(turn.text[len(self._shown) :])
        self._shown = turn.text

    def finish(self, turn: Turn) -> None:
        """Write the rest of the answer, its sources, and on stderr its tool calls and faults."""
        self.update(turn)
        if self._shown and not self._shown.endswith("\n"):
            self._write("\n")
        for line in tool_lines(turn.answer):
            note(line)
        sources = source_lines(turn.answer)
        if sources:
            self._write("\nSources:\n" + "".join(f"  {line}\n" for line in sources))
        for line in verdict_lines(turn):
            note(line)

    def say(self, text: str) -> None:
        """Write a line on stderr."""
        note(text)

    def stop(self) -> None:
        """Start with the next answer."""
        self._shown, self._attempt = "", 1

    def _write(self, text: str) -> None:
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


class RichScreen:
    """Markdown on a terminal: finished paragraphs stay, the last one is redrawn while it grows."""

    def __init__(self) -> None:
        self._console: Console = make_console()
        self._live: Live | None = None
        self._settled = ""
        self._attempt = 1
        self._drawn = 0.0

    def event(self, frame: Frame) -> None:
        """Show nothing: the turn has what the event says."""

    def update(self, turn: Turn) -> None:
        """Draw the answer so far."""
        text = printable(turn.text)
        if turn.attempt != self._attempt or not text.startswith(self._settled):
            self._stop_live()
            if self._settled:
                self.say(STARTS_OVER)
            self._settled, self._attempt = "", turn.attempt
        done = settled(text)
        if len(done) > len(self._settled):
            self._stop_live()
            self._console.print(Markdown(done[len(self._settled) :]))
            self._console.print()
            self._settled = done
        rest = text[len(self._settled) :]
        if rest.strip():
            self._draw(rest)

    def finish(self, turn: Turn) -> None:
        """Draw the rest of the answer, its tool calls, sources and faults."""
        self.update(turn)
        self._stop_live()
        rest = printable(turn.text)[len(self._settled) :]
        if rest.strip():
            self._console.print(Markdown(rest))
        for line in tool_lines(turn.answer):
            self._console.print(Text(printable(line), style="cyan"))
        sources = source_lines(turn.answer)
        if sources:
            self._console.print(Text("\nSources", style="bold"))
            for line in sources:
                self._console.print(Text(f"  {printable(line)}", style="dim"))
        for line in verdict_lines(turn):
            self.say(line)

    def say(self, text: str) -> None:
        """Print a line, above the part that still grows."""
        console = self._live.console if self._live else self._console
        console.print(Text(printable(text), style="yellow"))

    def _draw(self, rest: str) -> None:
        now = time.monotonic()
        if self._live is not None and now - self._drawn < _DRAW_SECONDS:
            return
        self._drawn = now
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(Markdown(tail(rest, self._console.width, self._console.height - 4)), refresh=True)

    def stop(self) -> None:
        """Restore the cursor, and start with the next answer."""
        self._stop_live()
        self._settled, self._attempt = "", 1

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def make_screen() -> Screen:
    """Return the screen for stdout: a terminal or a pipe."""
    return RichScreen() if sys.stdout.isatty() else PlainScreen()


def settled(text: str) -> str:
    """Return the part of a growing Markdown text that later text can't change: up to the last blank line outside code.

    A list that continues after a blank line is drawn in two parts; its numbers stay right.
    """
    end = len(text)
    while (end := text.rfind("\n\n", 0, end)) >= 0:
        if len(_FENCE.findall(text, 0, end)) % 2 == 0:
            return text[: end + 2]
    return ""


def tail(text: str, width: int, height: int) -> str:
    """Return the end of a Markdown text that fits a screen: a terminal can't redraw lines that have scrolled away."""
    end = "\n".join(text[-width * height :].splitlines()[-height:])
    opening = text.split("\n", 1)[0]
    # Repeat the opening fence of a code block whose start is cut off.
    return f"{opening}\n{end}" if _FENCE.match(text) and not end.startswith(opening) else end


def source_lines(answer: dict[str, Any] | None) -> list[str]:
    """Return a line for each source of an answer: number, title and place."""
    lines = []
    for number, source in enumerate((answer or {}).get("sources", ()), 1):
        title = _first(source, "title", "name", "document_id", "id")
        place = _first(source, "url", "path", "source", "uri", "document")
        parts = dict.fromkeys(part for part in (title, _first(source, "section", "heading"), place) if part)
        lines.append(f"[{number}] {' — '.join(parts) or json.dumps(source)}")
    return lines


def tool_lines(answer: dict[str, Any] | None) -> list[str]:
    """Return a line for each tool call of an answer: its parameters and result."""
    lines = []
    for call in (answer or {}).get("tool_calls", ()):
        asked = call.get("params", call.get("parameters", {}))
        given = call.get("result", call.get("error_message", call.get("status")))
        came = "" if given is None else f" → {given if isinstance(given, str) else json.dumps(given)}"
        lines.append(f"⚙ {_first(call, 'tool_id', 'name')}({json.dumps(asked)}){came}")
    return lines


def verdict_lines(turn: Turn) -> list[str]:
    """Return lines on an answer that is degraded, failed or cancelled."""
    lines = []
    if turn.answer and turn.answer.get("degraded"):
        lines.append(f"Answered without: {', '.join(turn.answer['degraded'])}.")
    if turn.status == "failed":
        error = turn.error or {"message": "The turn failed.", "code": "no code"}
        lines.append(f"The turn failed: {error['message']} ({error['code']})")
    elif turn.answer is None and turn.status in {"cancelled", "interrupted"}:
        lines.append(f"The turn was {turn.status}.")
    return lines


def _first(record: dict[str, Any], *names: str) -> str:
    return next((str(record[name]) for name in names if record.get(name)), "")
