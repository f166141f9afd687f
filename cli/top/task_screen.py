"""A task: what it is, what it waits for, and the timeline of its request."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from cli.display.glyphs import printable
from cli.display.waterfall import waterfall
from cli.top.fetcher import Fetcher
from cli.top.live_screen import LiveScreen
from cli.top.source import TenantSource

_SHOWN: Final = ("task_id", "type", "status", "attempt", "user_id", "agent_id", "session_id", "created_at", "error")


class TaskScreen(LiveScreen):
    """The task, live."""

    def __init__(self, source: TenantSource, fetcher: Fetcher, task_id: str) -> None:
        super().__init__(fetcher)
        self._source, self._task_id = source, task_id

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self.title_line(), id="state")
        with VerticalScroll():
            yield Static(id="record")
            yield Static(id="timeline")
        yield Footer(compact=True)

    def title_line(self) -> Text:
        """Return the tenant and the task."""
        return Text.assemble(("task ", "bold"), printable(f"{self._task_id} of {self._source.tenant_id}"))

    def fetching(self) -> Callable[[], Any]:
        """Return what fetches the task."""
        return partial(self._source.task, self._task_id)

    def show(self, data: Any) -> None:
        """Show the task."""
        self.query_one("#record", Static).update(Text("\n".join(_record_lines(data["task"], data["why"]))))
        lines = ["", "The timeline of its request is gone."]
        if data["trace"] is not None:
            lines = ["", *waterfall(data["trace"], max(40, self.size.width - 2))]
        self.query_one("#timeline", Static).update(Text("\n".join(lines), no_wrap=True))


def _record_lines(task: Mapping[str, Any], why: Mapping[str, Any] | None) -> list[str]:
    lines = []
    for name in _SHOWN:
        value = task.get(name)
        if value not in (None, "", {}):
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{name:<12} {printable(said)}")
    if why is not None:
        lines += ["", f"{'why':<12} {printable(why['says'])}"]
        if why.get("estimated_start"):
            lines.append(f"{'starts':<12} about {printable(why['estimated_start'])}")
    return lines
