"""One record for people: a name and a value for each of its fields."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cli.display.cells import width_of, wrapped
from cli.display.table import Pen, TableColumn, table_lines

_GAP: Final = 2
"""Cells between the name of a field and its value, or before a value that stands below its name."""


def record_lines(fields: Mapping[str, str], pen: Pen, width: int) -> Iterator[str]:
    """Yield the lines of a record: values beside their names, or below them where ids would be broken there.

    Args:
        fields: values by name.
        pen: how names may be styled.
        width: of the terminal, in cells.
    """
    names = TableColumn(list(fields), style="bold", least=max(map(width_of, fields), default=0))
    if names.least + _GAP + _longest_word(fields.values(), width) <= width:
        yield from table_lines([names, TableColumn(list(fields.values()))], pen, width, gap=_GAP)
        return
    for name, text in fields.items():
        yield pen.styled(name, "bold")
        yield from (" " * _GAP + line for line in wrapped(text, width - _GAP))


def _longest_word(texts: Iterable[str], width: int) -> int:
    """Return the width of the longest word of those that the terminal has room for below a name."""
    words = (width_of(word) for text in texts for word in text.split())
    return max((found for found in words if found + _GAP <= width), default=0)
