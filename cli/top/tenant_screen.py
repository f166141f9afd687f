"""A tenant: its queue by lane, and its tasks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Static

from cli.core.output import age
from cli.display.glyphs import printable
from cli.top.columns import TASKS
from cli.top.fetcher import Fetcher
from cli.top.live_screen import LiveScreen
from cli.top.live_table import LiveTable
from cli.top.source import Source
from cli.top.task_screen import TaskScreen
from cli.top.tenant_changes import ask_to_drain, ask_to_pause

_STATUSES: Final = ("", "pending", "processing", "waiting", "retrying", "failed", "partial", "completed", "cancelled")
"""What `f` goes through; empty: all tasks."""
_LANES: Final = ("high", "normal", "low")
_BAR: Final = 40


class TenantScreen(LiveScreen):
    """The tenant, live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("f", "next_status", "Status"),
        ("p", "pause", "Pause/Resume"),
        ("d", "drain", "Drain"),
    ]

    def __init__(self, source: Source, fetcher: Fetcher, tenant_id: str) -> None:
        super().__init__(fetcher)
        self._source, self._tenant_id = source, tenant_id
        self._work = source.of_tenant(tenant_id)
        self._status = 0
        self._state = ""

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self.title_line(), id="state")
        yield Static(id="lanes")
        yield LiveTable(TASKS, "tasks", id="tasks")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to ask, with the keyboard on the tasks."""
        super().on_mount()
        self.query_one(LiveTable).focus_rows()

    def on_unmount(self) -> None:
        """Close the connections of the tenant."""
        self._work.close()

    def title_line(self) -> Text:
        """Return the tenant, and which of its tasks are shown."""
        status = _STATUSES[self._status]
        return Text.assemble(
            ("tenant ", "bold"),
            printable(self._tenant_id),
            f" is {self._state}" if self._state else "",
            f"; its tasks that are {status}" if status else "; all its tasks, the newest first",
        )

    def fetching(self) -> Callable[[], Any]:
        """Return what fetches the tenant's work."""
        return partial(self._work.work, _STATUSES[self._status])

    def show(self, data: Any) -> None:
        """Show the tenant's work."""
        self._state = data["queue"]["state"]
        self.query_one("#lanes", Static).update(Text("\n".join(lane_lines(data["queue"])), no_wrap=True))
        self.query_one(LiveTable).show(data["tasks"], more=data["more"])

    def action_next_status(self) -> None:
        """Show tasks of the next status."""
        self._status = (self._status + 1) % len(_STATUSES)
        self.query_one("#state", Static).update(self.title_line())
        self.look_now()

    def action_pause(self) -> None:
        """Pause the tenant, or resume it."""
        ask_to_pause(self, self._source, self._tenant_id)

    def action_drain(self) -> None:
        """Drain the tenant."""
        ask_to_drain(self, self._source, self._tenant_id)

    @on(LiveTable.Chosen)
    def _open(self, event: LiveTable.Chosen) -> None:
        self.app.push_screen(TaskScreen(self._work, self._fetcher, event.record["task_id"]))


def lane_lines(queue: Mapping[str, Any]) -> list[str]:
    """Return the queue of a tenant: a bar for each lane, and what stands elsewhere."""
    depths = [queue["depth"][lane] for lane in _LANES]
    longest = max(1, *depths)
    lines = [
        f"{lane:<7}{depth:>7} {'█' * -(-depth * _BAR // longest)}" for lane, depth in zip(_LANES, depths, strict=True)
    ]
    elsewhere = (
        ("running", queue["in_hand"]),
        ("delayed", queue["delayed"]),
        ("parked", queue.get("parked", 0)),
        ("dead", queue["dead_letters"]),
        ("oldest", age(queue["oldest_waiting"]) or "-"),
        ("accepted/min", queue.get("accepted_per_minute", 0)),
    )
    behind = (
        ("behind their session", queue.get("behind_sessions", 0)),
        ("behind their user", queue.get("behind_users", 0)),
        ("in batches", queue.get("batch_items", 0)),
    )
    lines.append("  ".join(f"{name} {value}" for name, value in elsewhere))
    lines.append("backlog " + "  ".join([str(queue.get("backlog", "-")), *(f"{name} {n}" for name, n in behind if n)]))
    return [printable(line) for line in lines]
