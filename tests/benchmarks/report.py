"""The one table of all benchmarks, and its place in the reference page."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
HEAD: Final = ("| what | beside | ratio | to reach | taken |", "| --- | --- | --- | --- | --- |")
BEGIN: Final = "<!-- python -m tests.benchmarks --write -->"
END: Final = "<!-- the end of the table -->"


def line(row: Mapping[str, Any], taken: str) -> str:
    """Return a row as a line of the table."""
    shown = _number(row["value"]) + (f" {row['unit']}" if row["unit"] else "")
    reach = row["reach"] + (f" {row['unit']}" if row["unit"] and row["reach"] else "")
    return f"| {row['what']} | {row['beside']} | {shown} | {reach or '–'} | {taken} |"  # noqa: RUF001 - as pages write it


def taken(record: Mapping[str, Any]) -> str:
    """Return when, and on what class of machine, a run was taken."""
    machine, rounds = record["machine"], len(record["rounds"])
    return (
        f"{record['taken']}, {machine['cores']} cores, Python {machine['python']}, Redis {machine['redis']}, "
        f"{rounds} round{'s' * (rounds != 1)}"
    )


def lines(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of runs, in their order."""
    return [line(row, taken(record)) for record in records for row in record["rows"]]


def table(found: Iterable[str]) -> str:
    """Return lines as a table."""
    return "\n".join((*HEAD, *found))


def merged(text: str, found: Iterable[str], order: Iterable[str]) -> str:
    """Return the text of the page with new lines in the place of those that they replace.

    Args:
        text: the page, with the marks between which the table stands.
        found: new lines.
        order: the keys of all rows that there are, in the order of the table; others are left out.

    Raises:
        ValueError: the page has no place for the table.
    """
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"The page has no {BEGIN} before {END}.")
    kept = {key(one): one for one in [*inside.strip().split("\n")[len(HEAD) :], *found]}
    return f"{before}{BEGIN}\n{table(kept[one] for one in order if one in kept)}\n{END}{after}"


def key(text: str) -> str:
    """Return what tells a line of the table from the others: what, and beside what."""
    return "|".join(part.strip() for part in text.split("|")[1:3])


def key_of(what: str, beside: str) -> str:
    """Return the key of a row."""
    return f"{what}|{beside}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
