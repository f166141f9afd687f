"""A screen that asks the service for what it shows, again and again."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from attrs import define
from rich.text import Text
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from cli.core.failures import CliFailure, Exit
from cli.display.glyphs import printable
from cli.top.fetcher import Answer, Fetcher
from cli.top.live_table import LiveTable

_TICK: Final = 0.1
_WAITS: Final = (1.0, 2.0, 5.0)
"""Seconds to the next request after each failure in a row; the last one for good."""
_REFUSED: Final = "ORCH_AUTH"
"""How codes begin that no further request gets round."""
LOOK: Final = "look"


@define
class Connection:
    """How the requests of a screen fare."""

    every: float
    failures: int = 0
    failed_since: float = 0.0
    next_at: float = 0.0
    fault: str = ""

    def answered(self, now: float) -> None:
        """Note an answer."""
        self.failures, self.fault, self.next_at = 0, "", now + self.every

    def failed(self, now: float, fault: str) -> None:
        """Note a failure, and wait longer after each in a row."""
        if not self.failures:
            self.failed_since = now
        wait = _WAITS[min(self.failures, len(_WAITS) - 1)]
        self.failures, self.fault, self.next_at = self.failures + 1, fault, now + wait

    def says(self, now: float) -> str:
        """Return what a user is told of a failure; empty: there is none."""
        if not self.failures:
            return ""
        return f"No answer for {now - self.failed_since:.0f} s, trying again: {self.fault}"


class LiveScreen(Screen[None]):
    """Asks for what it shows while it is the uppermost screen; tells of failures, and tries again.

    Subclasses say how to fetch (`fetching`), show what comes (`show`), and have a `Static` with the id `state`.

    Args:
        fetcher: makes the requests.
        every: seconds between an answer and the next request.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]
    IS_OVERVIEW: ClassVar[bool] = False

    def __init__(self, fetcher: Fetcher, *, every: float = 1.0) -> None:
        super().__init__()
        self._fetcher = fetcher
        self._connection = Connection(every)
        self._asking = False
        self._actions: dict[str, Callable[[Any], None]] = {}

    @abstractmethod
    def fetching(self) -> Callable[[], Any]:
        """Return what fetches the data of the screen; it runs in a thread."""

    @abstractmethod
    def show(self, data: Any) -> None:
        """Show the data of the screen."""

    def on_mount(self) -> None:
        """Begin to ask."""
        self.set_interval(_TICK, self._tick)
        self._tick()

    def look_now(self) -> None:
        """Ask without waiting, such as after a change."""
        self._connection.next_at = 0.0

    def do(self, name: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Have a request made, and call `then` with its answer; a failure is told."""
        if name not in self._actions and self._fetcher.ask(self, name, work):
            self._actions[name] = then

    def on_answer(self, answer: Answer) -> None:
        """Take what came of a request."""
        if answer.error is not None and not isinstance(answer.error, CliFailure):
            raise answer.error
        if answer.key == LOOK:
            self._looked(answer)
            return
        then = self._actions.pop(answer.key)
        if isinstance(answer.error, CliFailure):
            self.notify(
                printable(f"{answer.error.message} {answer.error.hint}".rstrip()), severity="error", markup=False
            )
        else:
            then(answer.data)

    def action_leave(self) -> None:
        """Drop a filter, or else go back to the screen before."""
        if not any(table.drop_filter() for table in self._tables()) and not self.IS_OVERVIEW:
            self.app.pop_screen()

    def _tables(self) -> Sequence[LiveTable]:
        """Return the tables that are in view."""
        return [table for table in self.query(LiveTable) if table.is_on_screen]

    def _looked(self, answer: Answer) -> None:
        self._asking, now = False, time.monotonic()
        if isinstance(answer.error, CliFailure):
            failure = answer.error
            if failure.error_code.startswith(_REFUSED):
                self.app.exit(failure)
                return
            if failure.code == Exit.NOT_FOUND and not self.IS_OVERVIEW:
                self.notify(printable(failure.message), severity="warning", markup=False)
                self.app.pop_screen()
                return
            self._connection.failed(now, failure.message)
        else:
            self._connection.answered(now)
            self.show(answer.data)
        self._tell()

    def _tick(self) -> None:
        now = time.monotonic()
        if self.is_current and not self._asking and now >= self._connection.next_at:
            self._asking = self._fetcher.ask(self, LOOK, self.fetching())
        if self._connection.failures:
            self._tell()

    def _tell(self) -> None:
        says = self._connection.says(time.monotonic())
        self.query_one("#state", Static).update(Text(printable(says), style="bold red") if says else self.title_line())

    @abstractmethod
    def title_line(self) -> Text:
        """Return the first line of the screen."""
