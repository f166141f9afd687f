"""Tables of text, without borders.

Rich draws what is live; a list is drawn here, because importing Rich takes longer than all else that a list needs.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from cli.display.cells import padded, width_of, wrapped
from cli.display.layout import GAP, shrunk

_STYLES: Final = {"bold": "\x1b[1m", "red": "\x1b[31m"}
_END: Final = "\x1b[0m"


@frozen
class TableColumn:
    """A column of a table."""

    cells: Sequence[str]
    title: str = ""
    style: str = ""
    least: int = 1
    """Cells that it needs at least; where the table is too wide, its texts wrap in no less."""


@frozen
class Pen:
    """What the output may have beside text."""

    styles: bool = False
    """Whether it is a terminal that draws."""
    colors: bool = False

    def styled(self, text: str, style: str) -> str:
        """Return a text in a style, as far as the output has it."""
        if not self.styles or style not in _STYLES or (style != "bold" and not self.colors):
            return text
        return f"{_STYLES[style]}{text}{_END}"


def table_lines(columns: Sequence[TableColumn], pen: Pen, room: int | None = None, gap: int = GAP) -> Iterator[str]:
    """Yield the lines of a table.

    Args:
        columns: with as many cells each.
        pen: how titles and columns may be styled.
        room: the width of the table in cells; None: as wide as its columns.
        gap: cells between two columns.
    """
    widths = [max(map(width_of, "\n".join((one.title, *one.cells)).split("\n"))) for one in columns]
    if room is not None:
        widths = shrunk(widths, [one.least for one in columns], room - gap * (len(columns) - 1))
    if any(one.title for one in columns):
        yield from _row([one.title for one in columns], widths, ["bold"] * len(columns), pen, gap)
    for row in zip(*(one.cells for one in columns), strict=True):
        yield from _row(row, widths, [one.style for one in columns], pen, gap)


def _row(cells: Sequence[str], widths: Sequence[int], styles: Sequence[str], pen: Pen, gap: int) -> Iterator[str]:
    parts = [wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for at in range(max(map(len, parts))):
        shown = [lines[at] if at < len(lines) else "" for lines in parts]
        # Spaces at the end of a line say nothing, and wrap where the terminal has become narrower.
        while shown and not shown[-1]:
            shown.pop()
        last = len(shown) - 1
        texts = [text if number == last else padded(text, widths[number]) for number, text in enumerate(shown)]
        yield (" " * gap).join(pen.styled(text, styles[number]) for number, text in enumerate(texts))
