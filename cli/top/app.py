"""`top` as an application: the overview of the service, and the screens that it leads to."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static, TabbedContent, TabPane

from cli.core.failures import CliFailure, Exit
from cli.core.output import age
from cli.display.glyphs import printable
from cli.display.waterfall import duration
from cli.top.columns import EVENTS, NODES, SERVICES, TENANTS, service_records
from cli.top.fetcher import Fetcher
from cli.top.history import History, sparkline
from cli.top.live_screen import LiveScreen
from cli.top.live_table import LiveTable
from cli.top.source import Source
from cli.top.tenant_changes import ask_to_drain, ask_to_pause
from cli.top.tenant_screen import TenantScreen

_SPARK: Final = 11
_ERRORS_ALARM: Final = 0.05
_PANES: Final = (
    ("tenants", "Tenants", TENANTS),
    ("nodes", "Nodes", NODES),
    ("services", "Services", SERVICES),
    ("events", "Events", EVENTS),
)


class Overview(LiveScreen):
    """The whole service: figures, and a tab each for tenants, nodes, services and system events."""

    IS_OVERVIEW = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "pane('tenants')", show=False),
        Binding("2", "pane('nodes')", show=False),
        Binding("3", "pane('services')", show=False),
        Binding("4", "pane('events')", show=False),
        ("tab", "next_pane", "Next tab"),
        ("p", "pause", "Pause/Resume"),
        ("d", "drain", "Drain"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, source: Source, fetcher: Fetcher, first: Any) -> None:
        super().__init__(fetcher)
        self._source = source
        self._history = History()
        self._load: Mapping[str, Any] = first

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(id="state")
        yield Static(id="figures")
        with TabbedContent():
            for name, title, kind in _PANES:
                with TabPane(title, id=name):
                    yield LiveTable(kind, name, id=f"{name}-table")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show the first load, and begin to ask for more."""
        self.show(self._load)
        self._tell()
        super().on_mount()
        self.query_one("#tenants-table", LiveTable).focus_rows()

    def title_line(self) -> Text:
        """Return the service and the moment."""
        load = self._load
        live = sum(node["live"] for node in load["nodes"])
        return Text.assemble(
            ("nooble-orch top ", "bold"), printable(f"{load['at'][11:19]}Z  {self._source.target.api_url}"),
            f"  nodes {live}  slots {load['in_hand']}/{load['slots']}",
        )  # fmt: skip

    def fetching(self) -> Callable[[], Any]:
        """Return what fetches the load."""
        return self._source.load

    def show(self, data: Any) -> None:
        """Show a load."""
        self._load = data
        self._history.add(data)
        self.query_one("#figures", Static).update(figures(data, self._history))
        self.query_one("#tenants-table", LiveTable).show(data["tenants"])
        self.query_one("#nodes-table", LiveTable).show(data["nodes"])
        self.query_one("#services-table", LiveTable).show(service_records(data))
        self.query_one("#events-table", LiveTable).show(data.get("notices", ()))

    def action_pane(self, name: str) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = name
        self.query_one(f"#{name}-table", LiveTable).focus_rows()

    def action_next_pane(self) -> None:
        """Show the next tab."""
        names = [name for name, *_ in _PANES]
        self.action_pane(names[(names.index(self.query_one(TabbedContent).active) + 1) % len(names)])

    def action_pause(self) -> None:
        """Pause the tenant under the cursor, or resume it."""
        if (tenant_id := self._chosen_tenant()) is not None:
            ask_to_pause(self, self._source, tenant_id)

    def action_drain(self) -> None:
        """Drain the tenant under the cursor."""
        if (tenant_id := self._chosen_tenant()) is not None:
            ask_to_drain(self, self._source, tenant_id)

    @on(LiveTable.Chosen)
    def _open(self, event: LiveTable.Chosen) -> None:
        if tenant_id := event.record.get("tenant_id"):
            self.app.push_screen(TenantScreen(self._source, self._fetcher, tenant_id))

    def _chosen_tenant(self) -> str | None:
        active = self.query_one(TabbedContent).active
        record = self.query_one(f"#{active}-table", LiveTable).selected
        return None if record is None else record.get("tenant_id") or None


def figures(load: Mapping[str, Any], history: History) -> Text:
    """Return the figures of the service, with what they were in the last minutes."""
    rate = history.error_rate()
    waits = load["waits"]
    backlog, ends = load.get("backlog", load["queued"]), f"{load['ends_per_second']:.1f}"
    first = Text.assemble(
        *_figure("backlog", str(backlog), history.backlog),
        *_figure("ends/s", ends, history.ends_per_second),
        *_figure("errors", f"{rate:.1%}", history.error_rates, "bold red" if rate > _ERRORS_ALARM else ""),
    )
    others = (
        ("queued", load["queued"]), ("delayed", load["delayed"]), ("dead", load["dead_letters"]),
        ("oldest", age(load["oldest_waiting"]) or "-"),
        ("wait p50", duration(round(waits["p50_ms"]))), ("p99", duration(round(waits["p99_ms"]))),
    )  # fmt: skip
    second = Text("  ").join(Text.assemble((f"{name} ", "bold"), str(value)) for name, value in others)
    return Text("\n", no_wrap=True).join([first, second])


def _figure(name: str, value: str, past: Any, style: str = "") -> tuple[tuple[str, str], ...]:
    bars = sparkline(list(past), _SPARK)
    return ((f"{name} ", "bold"), (f"{value:<5}", style), (f"{bars}  ", "cyan"))


class TopApp(App[CliFailure | Exit]):
    """The application. Its result: a failure that ended it, or the exit code.

    Args:
        source: the service.
        first: its load, by which the command has seen that the service answers.
    """

    CSS: ClassVar[str] = """
    #state, #figures, #lanes { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #figures, #lanes { margin-bottom: 1; }
    TabbedContent, TabPane, LiveTable { height: 1fr; padding: 0; }
    LiveTable DataTable { height: 1fr; }
    LiveTable .caption { height: 1; color: $text-muted; padding: 0 1; }
    #record, #timeline { padding: 0 1; height: auto; }
    Question { align: center middle; }
    #question { width: 60; max-width: 90%; height: auto; border: heavy $warning; padding: 1 2; background: $surface; }
    #question Static { height: auto; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source: Source, first: Any) -> None:
        super().__init__()
        self._source, self._first = source, first

    def get_default_screen(self) -> Screen[Any]:
        """Return the overview."""
        return Overview(self._source, Fetcher(), self._first)

    async def action_quit(self) -> None:
        """End by q."""
        self.exit(Exit.DONE)

    def action_interrupt(self) -> None:
        """End by Ctrl-C."""
        self.exit(Exit.INTERRUPTED)
