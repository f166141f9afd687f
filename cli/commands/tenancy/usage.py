"""`usage`: tokens and cost of language models, retrieval and embeddings."""

from collections.abc import Iterator
from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.context import find_target
from cli.core.options import listing_options, period_end
from cli.core.output import Column, is_table, show_list

_GROUPS: Final = ("model", "agent", "day", "user", "session")
_UNNAMED: Final = "-"
_COLUMNS: Final = (
    Column("KEY", "key"),
    Column("CALLS", "requests", whole=True),
    Column("CACHED", "cached", whole=True),
    Column("PROMPT", "prompt_tokens", whole=True),
    Column("ANSWER", "completion_tokens", whole=True),
    Column("TOKENS", "total_tokens", whole=True),
    Column("UNSURE", "unsettled_tokens", whole=True),
    Column("COST", "cost", whole=True),
)


@click.command()
@period_end(
    "--from", "--since", "first", metavar="DAY", help="First day (UTC), or an age such as 7d; default: 30 days."
)
@period_end("--to", "--until", "last", metavar="DAY", help="Last day (UTC); default: today.")
@click.option("--by", type=click.Choice(_GROUPS), default="model", show_default=True, help="Grouping of the rows.")
@listing_options
def usage(first: str | None, last: str | None, by: str) -> None:
    """Show the usage of a tenant through the gateway; the last row is the sum.

    CACHED calls cost nothing. UNSURE are tokens reserved for calls whose usage is unknown.

    \b
    Example:
      nooble-orch usage --from 2026-01-01 --to 2026-01-31 --by agent
    """
    with Api(find_target(), operator=True) as api:
        days = {"from": _iso_day(first), "to": _iso_day(last)}
        show_list(_rows(api.get("usage.get", group_by=by, **days)), _COLUMNS, "Nothing was spent.")


def _rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items, in a table also their sum."""
    form = _table_row if is_table() else dict
    yield from map(form, report["items"])
    if is_table() and report["items"]:
        yield _table_row({**report["totals"], "key": "all"})


def _table_row(item: dict[str, Any]) -> dict[str, Any]:
    cost = f"{item['cost']:.6f}".rstrip("0").rstrip(".")
    return {**item, "key": item["key"] or _UNNAMED, "cost": cost}


def _iso_day(moment: str | None) -> str | None:
    return None if moment is None else moment[:10]
