"""Which columns of a table fit a terminal."""

from collections.abc import Sequence
from typing import Final

GAP: Final = 1
"""Cells between two columns."""


def fitting(widths: Sequence[int], ranks: Sequence[int], width: int) -> list[int]:
    """Return the columns that fit, in their order: those of the highest ranks are left out first.

    Args:
        widths: what each column needs, in terminal cells.
        ranks: of each column; 0: it is never left out.
        width: what the terminal has, in cells.
    """
    shown = list(range(len(widths)))
    while sum(widths[at] + GAP for at in shown) > width + GAP:
        at = max(shown, key=lambda at: (ranks[at], at))
        if not ranks[at]:
            break
        shown.remove(at)
    return shown


def shrunk(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return widths of columns that fit together: the widest give way first, none to less than it needs.

    Args:
        widths: what the texts of each column need, in cells.
        least: what each column keeps; where that is too much together, the result does not fit.
        room: for all of them, in cells.
    """
    kept = list(widths)
    while sum(kept) > room:
        at = max(range(len(kept)), key=lambda at: kept[at] if kept[at] > least[at] else -1)
        if kept[at] <= least[at]:
            break
        kept[at] -= 1
    return kept
