"""A table whose rows come again and again: sorted, filtered, and with the cursor where it was."""

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from cli.top.columns import Record, TableKind, arranged

_UP: Final = "▲"
_DOWN: Final = "▼"


class LiveTable(Vertical):
    """The table, a line on what it shows, and the field of the filter.

    Args:
        kind: its columns.
        name: what its records are, for the line.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("slash", "filter", "Filter"),
        ("s", "sort", "Sort"),
        ("r", "reverse", "Reverse"),
    ]

    class Chosen(Message):
        """Enter was pressed on a record, or it was clicked twice."""

        def __init__(self, record: Record) -> None:
            super().__init__()
            self.record = record

    def __init__(self, kind: TableKind, name: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._kind = kind
        self._records_name = name
        self._records: Sequence[Record] = ()
        self._more = False
        self._shown: dict[str, Record] = {}
        self._sort: int | None = None
        self._reverse = False
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield DataTable[Text](cursor_type="row", zebra_stripes=True)
        yield Static(classes="caption")
        yield Input(placeholder="Part of any cell; Enter keeps the filter, Escape drops it", compact=True)

    def on_mount(self) -> None:
        """Add the columns, and hide the field."""
        table = self._table
        for number, column in enumerate(self._kind.columns):
            table.add_column(self._title(number), key=column.title)
        self.query_one(Input).display = False
        self._draw()

    @property
    def selected(self) -> Record | None:
        """The record under the cursor."""
        table = self._table
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return self._shown.get(key or "")

    def show(self, records: Sequence[Record], *, more: bool = False) -> None:
        """Show records instead of those before; with `more` they are only the newest ones of many."""
        self._records, self._more = records, more
        self._draw()

    def focus_rows(self) -> None:
        """Give the keyboard to the rows."""
        self._table.focus()

    def action_filter(self) -> None:
        """Open the field of the filter."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    def action_sort(self) -> None:
        """Sort by the next column; after the last one, in the order of the service."""
        following = 0 if self._sort is None else self._sort + 1
        self._sort = following if following < len(self._kind.columns) else None
        self._reverse = self._sort is not None and self._kind.columns[self._sort].right
        self._draw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reverse = not self._reverse
        self._draw()

    @on(DataTable.HeaderSelected)
    def _sort_by(self, event: DataTable.HeaderSelected) -> None:
        event.stop()
        number = event.column_index
        self._reverse = not self._reverse if self._sort == number else self._kind.columns[number].right
        self._sort = number
        self._draw()

    @on(DataTable.RowSelected)
    def _choose(self, event: DataTable.RowSelected) -> None:
        event.stop()
        record = self._shown.get(event.row_key.value or "")
        if record is not None:
            self.post_message(self.Chosen(record))

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self._wanted = event.value.strip()
        self._draw()

    @on(Input.Submitted)
    def _keep_filter(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_field()

    def drop_filter(self) -> bool:
        """Show all records again; returns false where there was no filter, and its field was closed."""
        field = self.query_one(Input)
        if not field.display and not self._wanted:
            return False
        field.value = ""
        self._wanted = ""
        self._close_field()
        self._draw()
        return True

    def _close_field(self) -> None:
        self.query_one(Input).display = False
        self.focus_rows()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    def _title(self, number: int) -> Text:
        column = self._kind.columns[number]
        style = "underline" if number == self._sort else ""
        return Text(column.title, style, justify="right" if column.right else "left")

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        columns = self._kind.columns
        found = arranged(self._records, columns, sort=self._sort, reverse=self._reverse, wanted=self._wanted)
        rows = {self._kind.key(record): record for record in found}
        table = self._table
        for number, column in enumerate(table.ordered_columns):
            column.label = self._title(number)
        if list(rows) == list(self._shown):
            self._update_cells(table, rows)
        else:
            self._rebuild(table, rows)
        self._shown = rows
        self._caption(len(rows))

    def _update_cells(self, table: DataTable[Text], rows: dict[str, Record]) -> None:
        for key, record in rows.items():
            before = self._shown[key]
            for column in self._kind.columns:
                cell = column.cell(record)
                if cell != column.cell(before) or cell != table.get_cell(key, column.title):
                    table.update_cell(key, column.title, cell, update_width=True)

    def _rebuild(self, table: DataTable[Text], rows: dict[str, Record]) -> None:
        """Make the rows anew, and put the cursor onto the record that it was on."""
        chosen, at, scrolled = self.selected, table.cursor_row, table.scroll_y
        table.clear()
        for key, record in rows.items():
            table.add_row(*(column.cell(record) for column in self._kind.columns), key=key)
        if chosen is not None and (key := self._kind.key(chosen)) in rows:
            at = list(rows).index(key)
        if rows:
            table.move_cursor(row=min(at, len(rows) - 1), animate=False, scroll=False)
        table.scroll_to(y=scrolled, animate=False)

    def _caption(self, shown: int) -> None:
        newest = " newest" if self._more else ""
        parts = [f"{shown} of {'the ' if newest else ''}{len(self._records)}{newest} {self._records_name}"]
        if not self._records:
            parts = [self._kind.nothing]
        else:
            parts += [f"with “{self._wanted}”"] if self._wanted else []
            parts += [] if self._sort is None else [f"by {self._kind.columns[self._sort].title}"]
            parts += [_DOWN if self._reverse else _UP] if self._reverse or self._sort is not None else []
        self.query_one(".caption", Static).update(Text(" ".join(parts)))
