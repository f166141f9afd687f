"""A question with the answers yes and no."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from cli.display.glyphs import printable


class Question(ModalScreen[bool]):
    """Asks before something is done; its result is whether it is confirmed. Enter does not confirm."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "answer(True)", "Yes"), ("n,escape,q", "answer(False)", "No")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the box."""
        with Vertical(id="question"):
            yield Static(Text(printable(self._text)))
            yield Static(Text("y: yes   n, Escape: no", style="bold"))

    def action_answer(self, confirmed: bool) -> None:
        """Close the question."""
        self.dismiss(confirmed)
