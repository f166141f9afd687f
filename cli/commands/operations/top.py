"""`top`: queues, processes, services and latencies, live: as an application, as a plain screen, or as text."""

import os
import select
import signal
import sys
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from time import monotonic
from typing import Any, Final

import click
from rich.live import Live
from rich.text import Text

from cli.commands.operations.dashboard import dashboard
from cli.core.client import AdminApi
from cli.core.console import make_console
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import is_table, show_record
from cli.core.selection import current_options
from cli.core.terminal import restored_terminal
from cli.display.glyphs import is_unicode
from cli.top.source import Source

_EVERY: Final = 1.0
_TIMEOUT: Final = 5.0
_TEXT_ROWS: Final = 24


class _Form(Enum):
    """How the load is shown."""

    SNAPSHOT = "one snapshot, as JSON or as -o says"
    APPLICATION = "tabs, sorting, filters and details"
    SCREEN = "one screen, drawn again and again"
    TEXT = "text without escape sequences, printed again and again"


@click.command()
@click.option(
    "--tenants", type=click.IntRange(0, 200), default=200, show_default=True, help="Maximum number of tenants."
)
@listing_options
def top(tenants: int) -> int:
    """Show queues, processes and latencies live, until q or Ctrl-C. Needs an API key (ORCH_API_KEY).

    With --tenant of the tenants only that one.

    Tabs show tenants, nodes, services and system events. Enter opens a tenant, then a task with its timeline; /
    filters, s and r sort, p pauses or resumes a tenant, d drains it; the last line lists the keys. Without Textual
    (the extra `sandbox` has it) there is one plain screen, and text where TERM is dumb or the terminal has no UTF-8.
    In a pipe, or with -o json, it prints one snapshot; with -o table as text.

    \b
    Example:
      nooble-orch top
    """
    target = find_target()
    with AdminApi(target, timeout=_TIMEOUT) as api:
        # Before anything is drawn: a service that refuses the key or is away is told like that of any command.
        source, form = Source(target, api, tenants, current_options().tenant), _form()
        first = source.load()
        # From here on the screen shows that itself.
        api.tells_slow = False
        if form is _Form.SNAPSHOT:
            _show_once(first)
        elif form is _Form.APPLICATION:
            return _run_application(source, first)
        else:
            _watch(source.load, first, is_screen=form is _Form.SCREEN)
    return Exit.DONE


def _form() -> _Form:
    if not is_table() or not sys.stdout.isatty():
        return _Form.SNAPSHOT
    if os.environ.get("TERM", "dumb") in {"", "dumb"} or not is_unicode():
        return _Form.TEXT
    # Textual draws on stderr.
    has_keys = sys.stdin.isatty() and sys.stderr.isatty()
    return _Form.APPLICATION if has_keys and find_spec("textual") else _Form.SCREEN


def _show_once(load: Any) -> None:
    if not is_table():
        show_record(load)
        return
    with _shown_on(is_screen=False) as show:
        show(load)


def _run_application(source: Source, first: Any) -> int:
    """Run the application, and return the exit code.

    Raises:
        CliFailure: the service refuses the key meanwhile.
    """
    # Textual is optional, and takes longer to import than all other commands need.
    from cli.top.app import TopApp  # noqa: PLC0415 - imported only where it is installed and used

    if not current_options().color:
        os.environ["NO_COLOR"] = "1"
    app = TopApp(source, first)
    with restored_terminal(), _ended_by(signal.SIGTERM, signal.SIGHUP, end=lambda: app.exit(Exit.FAILED)):
        result = app.run()
    if isinstance(result, CliFailure):
        raise result
    return Exit.FAILED if result is None else result


@contextmanager
def _ended_by(*signals: signal.Signals, end: Callable[[], None]) -> Iterator[None]:
    """Call `end` on signals inside the block, so that the terminal is left as it was."""
    before = {number: signal.signal(number, lambda *_: end()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(snapshot: Callable[[], Any], first: Any, *, is_screen: bool) -> None:
    with _single_keys(), _shown_on(is_screen=is_screen) as show:
        show(first)
        while not _q_pressed(_EVERY):
            try:
                show(snapshot())
            except CliFailure as failure:
                # The service may be restarting.
                if not failure.passes:
                    raise
                show(f"{failure.message}\nTrying again; q quits.")


@contextmanager
def _shown_on(*, is_screen: bool) -> Iterator[Callable[[Any], None]]:
    """Yield a function that shows a load or a sentence: on a screen of its own, or below what it showed before."""
    console = make_console()

    def drawn(shown: Any) -> Any:
        rows = console.height if is_screen else _TEXT_ROWS
        return Text(shown) if isinstance(shown, str) else dashboard(shown, rows=rows)

    if not is_screen:
        yield lambda shown: console.print(drawn(shown), Text())
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda shown: live.update(drawn(shown), refresh=True)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Read single keys from the terminal inside the block, if stdin is one."""
    if not sys.stdin.isatty():
        yield
        return
    with restored_terminal():
        tty.setcbreak(sys.stdin)
        yield


def _q_pressed(seconds: float) -> bool:
    """Wait for a number of seconds; returns early and true if q is pressed, or stdin ends."""
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        ready, _, _ = (
            select.select([sys.stdin], [], [], left) if sys.stdin.isatty() else select.select([], [], [], left)
        )
        if ready and sys.stdin.read(1) in {"q", "Q", ""}:
            return True
    return False
