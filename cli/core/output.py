"""Output: tables on a terminal, JSON in a pipe, notes on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.core.selection import current_options
from cli.display.layout import GAP, fitting
from cli.display.yaml_text import yaml_text
from orchestrator.config.masking import mask_credentials

# Control characters that a terminal obeys: C0 except tab and newline, DEL, C1.
_CONTROLS: Final = {code: None for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}

_LONG_WORD: Final = 24
"""Cells of a word that is wrapped rather than given a column of its width."""


def printable(text: str) -> str:
    """Remove control characters: text of a service or an agent must not control the terminal."""
    return text.translate(_CONTROLS)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that respects `--no-color`, `NO_COLOR` and the width of the terminal."""
    return Console(stderr=stderr, no_color=None if current_options().color else True, highlight=False)


@frozen
class Column:
    """A column of a table: its heading, and the field of the records that it shows."""

    title: str
    field: str
    style: str = ""
    age: bool = False
    """Whether the field is a timestamp, shown as the time since then."""
    minute: bool = False
    """Whether the field is a timestamp, shown to the minute in UTC."""
    whole: bool = False
    """Whether values are never wrapped, such as ids, which users copy."""
    sparse: bool = False
    """Whether the column is left out where no record has a value for it."""
    rank: int = 0
    """Columns of the highest rank are left out first where the terminal is too narrow; 0: never."""
    wide: bool = False
    """Whether the column is shown with `-o wide` alone."""


def show_list(records: Iterable[Mapping[str, Any]], columns: Sequence[Column], nothing: str = "") -> None:
    """Print records.

    Args:
        records: the records, as the API returns them.
        columns: the columns of the table.
        nothing: the note on stderr where there are no records.

    Where `records` has an attribute `more` that is true, a note tells that the list was cut.
    """
    form = _form()
    if form == "jsonl":
        for record in records:
            print(json.dumps(record), flush=True)
        _note_cut(records)
        return
    kept = list(records)
    if form == "json":
        print(json.dumps(kept, indent=2))
    elif form == "yaml":
        sys.stdout.write(yaml_text(kept))
    elif kept:
        _show_table(kept, [one for one in columns if form == "wide" or not one.wide], is_wide=form == "wide")
    elif nothing:
        note(nothing)
    _note_cut(records)


def _note_cut(records: object) -> None:
    if getattr(records, "more", False):
        note("There are more: --limit N shows more of them, --all shows all.")


def show_record(record: Mapping[str, Any]) -> None:
    """Print one record, on a terminal a line a field."""
    form = _form()
    if form == "yaml":
        sys.stdout.write(yaml_text(record))
    elif form in {"json", "jsonl"}:
        print(json.dumps(record, indent=2 if form == "json" else None))
    else:
        make_console().print(_fields(record))


def _fields(record: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record.items():
        if value not in (None, {}, []):
            shown = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            table.add_row(name, Text(printable(shown)))
    return table


def note(text: str) -> None:
    """Print a note on stderr, beside the result."""
    print(printable(mask_credentials(text)), file=sys.stderr, flush=True)


def start_over() -> None:
    """Clear the terminal for what is shown again, if stdout is one that can be cleared; else print a line between."""
    if not is_table():
        return
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"", "dumb"}:
        sys.stdout.write("\x1b[H\x1b[2J")
    print(datetime.now(UTC).strftime("%H:%M:%SZ"), flush=True)


def note_changes() -> Callable[[object, str], None]:
    """Return a function that prints a note on stderr if the state that it tells of is not that of the last call."""
    last: object = None

    def changed(state: object, text: str) -> None:
        nonlocal last
        if state != last:
            last = state
            note(text)

    return changed


def age(timestamp: str | None, now: datetime | None = None) -> str:
    """Return the time since a timestamp in one unit, such as `3m`; empty without a timestamp."""
    if not timestamp:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(timestamp)).total_seconds()
    for size, name in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f}{name}"
    return f"{max(seconds, 0):.0f}s"


def is_table() -> bool:
    """Tell whether the output is for people, not for programs."""
    return _form() in {"table", "wide"}


def _form() -> str:
    return current_options().format or ("table" if sys.stdout.isatty() else "jsonl")


def plain_table(*, pad_edge: bool = True) -> Table:
    """Return an empty table without borders."""
    return Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=pad_edge)


def _show_table(records: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, is_wide: bool) -> None:
    """Print a table: as wide as the terminal, or as its columns need."""
    console = make_console()
    shown = [one for one in columns if not one.sparse or any(_cell(record, one) for record in records)]
    rows = [[_cell(record, column) for column in shown] for record in records]
    widths = [max(map(cell_len, (column.title, *cells))) for column, *cells in zip(shown, *rows, strict=True)]
    kept = list(range(len(shown)))
    if not is_wide:
        kept = fitting(widths, [column.rank for column in shown], console.width)
    # A column that is not whole wraps between words, and inside of one only where it is long, such as a URL.
    least = [
        widths[at] if shown[at].whole else max(cell_len(shown[at].title), _longest_word([row[at] for row in rows]))
        for at in kept
    ]
    if not is_wide and sum(least) + GAP * (len(kept) - 1) > console.width:
        _show_stacked(console, [{shown[at].title: row[at] for at in kept if row[at]} for row in rows])
        return
    table = plain_table(pad_edge=False)
    for at, width in zip(kept, least, strict=True):
        column = shown[at]
        table.add_column(column.title, style=column.style, no_wrap=column.whole, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(Text(row[at]) for at in kept))
    console.print(table, width=sum(widths) + GAP * len(widths) if is_wide else None, crop=False)


def _show_stacked(console: Console, rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that are too wide for a table one below the other, a line a field."""
    for row in rows:
        for title, cell in row.items():
            console.print(Text(f"{title} {cell}"), soft_wrap=True)
        console.print()


def _longest_word(cells: Sequence[str]) -> int:
    return min(_LONG_WORD, max((cell_len(word) for cell in cells for word in cell.split()), default=0))


def _cell(record: Mapping[str, Any], column: Column) -> str:
    value: Any = record
    for step in column.field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if column.age:
        return age(value)
    if column.minute and value:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
    return "" if value is None else printable(str(value))
