"""Output: tables on a terminal, JSON in a pipe, notes on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from cli.core.selection import current_options
from cli.core.terminal import can_draw, terminal_width
from cli.display.cells import width_of
from cli.display.field_text import field_text, is_empty
from cli.display.glyphs import printable
from cli.display.layout import GAP, fitting
from cli.display.record import record_lines
from cli.display.table import Pen, TableColumn, table_lines
from cli.display.yaml_text import yaml_text
from orchestrator.config.masking import mask_credentials

_LONG_WORD: Final = 20
"""Cells of a word that is wrapped rather than given a column of its width."""


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
    second: bool = False
    """Whether the field is a timestamp, shown to the second in UTC, without the year."""
    whole: bool = False
    """Whether values are never wrapped, such as ids, which users copy."""
    sparse: bool = False
    """Whether the column is left out where no record has a value for it."""
    rank: int = 0
    """Columns of the highest rank are left out first where the terminal is too narrow; 0: never."""
    wide: bool = False
    """Whether the column is shown with `-o wide` alone."""


def show_list(
    records: Iterable[Mapping[str, Any]], columns: Sequence[Column], nothing: str = "", *, more: bool = False
) -> None:
    """Print records.

    Args:
        records: the records, as the API returns them.
        columns: the columns of the table.
        nothing: the note on stderr where there are no records.
        more: whether the list goes on; an attribute `more` of `records` says so too.

    A note tells where the list was cut.
    """
    form = _form()
    if form == "jsonl":
        for record in records:
            print(json.dumps(record), flush=True)
        _note_cut(records, more=more)
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
    _note_cut(records, more=more)


def _note_cut(records: object, *, more: bool) -> None:
    if more or getattr(records, "more", False):
        note("There are more: --limit N shows more of them, --all shows all.")


def show_record(record: Mapping[str, Any]) -> None:
    """Print one record, on a terminal a line a field."""
    form = _form()
    if form == "yaml":
        sys.stdout.write(yaml_text(record))
    elif form in {"json", "jsonl"}:
        print(json.dumps(record, indent=2 if form == "json" else None))
    else:
        _show_fields(record)


def show_next(record: Mapping[str, Any], words: str) -> None:
    """Print the next record of those that come while they are followed: for people as a line of words."""
    form = _form()
    if form == "yaml":
        print(f"---\n{yaml_text(record)}", end="", flush=True)
    else:
        print(printable(words) if is_table() else json.dumps(record), flush=True)


def _show_fields(record: Mapping[str, Any]) -> None:
    shown = {name: printable(field_text(value)) for name, value in record.items() if not is_empty(value)}
    for line in record_lines(shown, _pen(), terminal_width()):
        print(line)


def _pen() -> Pen:
    return Pen(styles=can_draw(), colors=current_options().color and not os.environ.get("NO_COLOR"))


def note(text: str) -> None:
    """Print a note on stderr, beside the result."""
    print(printable(mask_credentials(text)), file=sys.stderr, flush=True)


def note_if(text: str) -> None:
    """Print a note on stderr, where there is one."""
    if text:
        note(text)


def start_over() -> None:
    """Clear the terminal for what is shown again, if stdout is one that can be cleared; else print a line between."""
    if _form() == "yaml":
        # Without it, what follows would be read as more of the same document.
        print("---", flush=True)
    if not is_table():
        return
    if can_draw():
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


def _show_table(records: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, is_wide: bool) -> None:
    """Print a table: as wide as the terminal, or as its columns need."""
    shown = [one for one in columns if not one.sparse or any(_cell(record, one) for record in records)]
    cells = [[_cell(record, column) for record in records] for column in shown]
    widths = [max(map(width_of, (column.title, *texts))) for column, texts in zip(shown, cells, strict=True)]
    kept, width = list(range(len(shown))), terminal_width()
    if not is_wide:
        kept = fitting(widths, [column.rank for column in shown], width)
    # A column that is not whole wraps between words, and inside of one only where it is long, such as a URL.
    laid = [
        TableColumn(
            cells[at],
            shown[at].title,
            shown[at].style,
            widths[at] if shown[at].whole else max(width_of(shown[at].title), _longest_word(cells[at])),
        )
        for at in kept
    ]
    if not is_wide and sum(one.least for one in laid) + GAP * (len(kept) - 1) > width:
        _show_stacked(laid)
        return
    for line in table_lines(laid, _pen(), None if is_wide else width):
        print(line)


def _show_stacked(columns: Sequence[TableColumn]) -> None:
    """Print rows that are too wide for a table one below the other, a line a field."""
    for row in zip(*(one.cells for one in columns), strict=True):
        for column, cell in zip(columns, row, strict=True):
            if cell:
                print(f"{column.title} {cell}")
        print()


def _longest_word(cells: Sequence[str]) -> int:
    return min(_LONG_WORD, max((width_of(word) for cell in cells for word in cell.split()), default=0))


def _cell(record: Mapping[str, Any], column: Column) -> str:
    value: Any = record
    for step in column.field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if column.age:
        return age(value)
    if column.minute and value:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
    if column.second and value:
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%m-%d %H:%M:%SZ")
    return "" if value is None else printable(str(value))
