"""Rich's consoles and tables, for what is drawn live or as Markdown."""

from rich.console import Console
from rich.table import Table

from cli.core.selection import current_options


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that respects `--no-color`, `NO_COLOR` and the width of the terminal."""
    return Console(stderr=stderr, no_color=None if current_options().color else True, highlight=False)


def plain_table(*, pad_edge: bool = True) -> Table:
    """Return an empty table without borders."""
    return Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=pad_edge)
