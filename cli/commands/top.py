"""`top`: queues, processes and latencies, live."""

import json
import select
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import click
from rich.live import Live
from rich.text import Text

from cli.commands.dashboard import dashboard
from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import is_table, make_console
from cli.core.terminal import restored_terminal

_EVERY: Final = 1.0
_TIMEOUT: Final = 5.0


@click.command()
@click.option(
    "--tenants", type=click.IntRange(0, 200), default=50, show_default=True, help="Maximum number of tenants."
)
@listing_options
def top(tenants: int) -> None:
    """Show queues, processes and latencies live, until q or Ctrl-C. Needs an API key (ORCH_API_KEY).

    In a pipe, or with -o json, it prints one snapshot.

    \b
    Example:
      nooble-orch top
    """
    with AdminApi(find_target(), timeout=_TIMEOUT) as api:
        if not is_table() or not sys.stdout.isatty():
            print(json.dumps(_snapshot(api, tenants)))
            return
        _watch(api, tenants)


def _watch(api: AdminApi, tenants: int) -> None:
    console = make_console()
    first = dashboard(_snapshot(api, tenants), rows=console.height)
    with _single_keys(), Live(first, console=console, screen=True, auto_refresh=False) as live:
        live.refresh()
        while not _q_pressed(_EVERY):
            try:
                live.update(dashboard(_snapshot(api, tenants), rows=console.height), refresh=True)
            except CliFailure as failure:
                # The service may be restarting.
                if failure.code not in {Exit.UNREACHABLE, Exit.INCOMPLETE}:
                    raise
                live.update(Text(f"{failure.message}\nTrying again; q quits."), refresh=True)


def _snapshot(api: AdminApi, tenants: int) -> Any:
    return api.get("orchestrator.load", top=tenants)


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
