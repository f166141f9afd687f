"""`usage`: what was spent on language models, retrieval and embeddings."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.context import find_target
from cli.core.options import listing_options
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
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--from", "first", type=_DAY, metavar="DAY", help="The first day (UTC); 29 days before the last.")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The last day; today.")
@click.option("--by", type=click.Choice(_GROUPS), default="model", show_default=True, help="What the rows are.")
@listing_options
def usage(first: datetime | None, last: datetime | None, by: str) -> None:
    """Show what a tenant has spent through the gateway; the last row is the sum.

    CACHED calls spent nothing. UNSURE are tokens reserved for calls of which nobody knows what they spent.

    \b
    Example:
      nooble-orch usage --from 2026-01-01 --to 2026-01-31 --by agent
    """
    with Api(find_target(), operator=True) as api:
        days = {"from": _written(first), "to": _written(last)}
        show_list(_rows(api.get("usage.get", group_by=by, **days)), _COLUMNS, "Nothing was spent.")


def _rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items; people are shown the sum too, programs can add up."""
    form = _for_people if is_table() else dict
    yield from map(form, report["items"])
    if is_table() and report["items"]:
        yield _for_people({**report["totals"], "key": "all"})


def _for_people(item: dict[str, Any]) -> dict[str, Any]:
    cost = f"{item['cost']:.6f}".rstrip("0").rstrip(".")
    return {**item, "key": item["key"] or _UNNAMED, "cost": cost}


def _written(day: datetime | None) -> str | None:
    return None if day is None else f"{day:%Y-%m-%d}"
