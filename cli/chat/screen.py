"""Output of answers: growing Markdown on a terminal, plain text in a pipe."""

import json
import os
import re
import sys
import time
from typing import Any, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from cli.chat.turn import Turn
from cli.core.console import make_console
from cli.core.follow import Frame
from cli.core.output import note
from cli.display.glyphs import ellipsis, is_unicode, printable

_DRAW_SECONDS: Final = 0.05
"""Minimum time between two drawings of an answer: drawing takes longer than receiving."""
STARTS_OVER: Final = "The answer starts over; the text above is void."
_QUIET_SECONDS: Final = 0.4
"""Without anything new of an answer for so long, a sign of life is shown."""
_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_SPINNER: Final = "|/-" + "\\"
_LONGEST_LINE: Final = 1000
"""Characters of a tool call that are shown; the trace and `-o json` have all."""
_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)


class Screen(Protocol):
    """The output of a chat."""

    def event(self, frame: Frame) -> None:
        """Take an event of the turn, before `update`."""

    def update(self, turn: Turn) -> None:
        """Show the answer so far."""

    def progress(self, turn: Turn) -> None:
        """Show that the answer is worked on; called ten times a second."""

    def pause(self) -> None:
        """Draw nothing until the next event: the user is asked something."""

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
        for line in ended_tool_lines(turn):
            note(line)

    def progress(self, turn: Turn) -> None:
        """Show nothing: what is in a pipe can't be taken back."""

    def pause(self) -> None:
        """Do nothing: nothing is drawn."""

    def finish(self, turn: Turn) -> None:
        """Write the rest of the answer, its sources, and on stderr its tool calls and faults."""
        self.update(turn)
        if self._shown and not self._shown.endswith("\n"):
            self._write("\n")
        for line in tool_lines(turn):
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
        self._grown = 0.0
        self._rest = ""

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
        for line in ended_tool_lines(turn):
            self._print_above(Text(printable(line), style="cyan"))
        if text[len(self._settled) :] != self._rest:
            self._grown, self._rest = time.monotonic(), text[len(self._settled) :]
            if self._rest.strip():
                self._draw(self._rest)

    def progress(self, turn: Turn) -> None:
        """Draw a sign of life below the answer, with what is waited for, while nothing of the answer comes."""
        now = time.monotonic()
        if turn.is_over or now - max(self._grown, turn.asked_at) < _QUIET_SECONDS:
            return
        since = now - turn.asked_at
        glyphs = _SPINNER if is_unicode() else _PLAIN_SPINNER
        line = Text(f"{glyphs[int(since * 10) % len(glyphs)]} {printable(turn.doing)} ", style="dim", no_wrap=True)
        line.truncate(max(8, self._console.width - 8), overflow="ellipsis")
        self._draw(self._rest, line.append(f"{since:.0f} s"))

    def pause(self) -> None:
        """Take away what is drawn."""
        self._stop_live()

    def finish(self, turn: Turn) -> None:
        """Draw the rest of the answer, its tool calls, sources and faults."""
        self.update(turn)
        self._stop_live()
        rest = printable(turn.text)[len(self._settled) :]
        if rest.strip():
            self._console.print(Markdown(rest))
        for line in tool_lines(turn):
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
        self._print_above(Text(printable(text), style="yellow"))

    def _print_above(self, line: Text) -> None:
        console = self._live.console if self._live else self._console
        console.print(line)

    def _draw(self, rest: str, progress: Text | None = None) -> None:
        now = time.monotonic()
        if self._live is not None and now - self._drawn < _DRAW_SECONDS:
            return
        self._drawn = now
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        parts: list[RenderableType] = []
        if rest.strip():
            parts.append(Markdown(tail(rest, self._console.width, self._console.height - 5)))
        if progress is not None:
            parts.append(progress)
        self._live.update(Group(*parts), refresh=True)

    def stop(self) -> None:
        """Restore the cursor, and start with the next answer."""
        self._stop_live()
        self._settled, self._attempt, self._rest = "", 1, ""

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def make_screen() -> Screen:
    """Return the screen for stdout: a terminal that can draw, or another one or a pipe."""
    draws = sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}
    return RichScreen() if draws else PlainScreen()


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


def ended_tool_lines(turn: Turn) -> list[str]:
    """Return a line for each tool call that has ended since the last time: its parameters and result."""
    lines = []
    for call in turn.tools.values():
        if call.result is not None and not call.is_shown:
            call.is_shown = True
            failed = call.result.get("status") != "success"
            given = call.result.get("error_message") or call.result.get("status") if failed else call.result.get("data")
            said = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            asked = json.dumps(call.params, ensure_ascii=False)
            lines.append(_shortened(f"⚙ {call.tool_id}({asked}) → {'failed: ' if failed else ''}{said}"))
    return lines


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} {ellipsis()}"


def tool_lines(turn: Turn) -> list[str]:
    """Return a line for each tool call of an answer that was not shown when it ended."""
    lines = []
    for call in (turn.answer or {}).get("tool_calls", ()):
        known = turn.tools.get(call.get("tool_call_id", ""))
        if known is not None and known.is_shown:
            continue
        asked = call.get("params", call.get("parameters", {}))
        given = call.get("result", call.get("error_message", call.get("status")))
        came = "" if given is None else f" → {given if isinstance(given, str) else json.dumps(given)}"
        lines.append(f"⚙ {_first(call, 'tool_id', 'name')}({json.dumps(asked)}){came}")
    return lines


_BY: Final[dict[str | None, str]] = {"operator": " by an operator", "system": " with its session"}
"""Who has stopped a turn, where the one who chats has not."""


def verdict_lines(turn: Turn) -> list[str]:
    """Return lines on an answer that is degraded, failed or cancelled."""
    lines = []
    if turn.answer and turn.answer.get("degraded"):
        lines.append(f"Answered without: {', '.join(turn.answer['degraded'])}.")
    if turn.status == "failed":
        error = turn.error or {"message": "The turn failed.", "code": "no code"}
        lines.append(f"The turn failed: {error['message']} ({error['code']})")
    elif turn.answer is None and turn.status in {"cancelled", "interrupted"}:
        lines.append(f"The turn was {turn.status}{_BY.get(turn.cancelled_by, '')}.")
    return lines


def _first(record: dict[str, Any], *names: str) -> str:
    return next((str(record[name]) for name in names if record.get(name)), "")
