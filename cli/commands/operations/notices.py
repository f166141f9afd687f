"""`notices`: what processes tell operators: who joined and left, breakers, tenants."""

import time
from typing import Any, Final

import click

from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.failures import CliFailure
from cli.core.options import limit_option, listing_options, period_options
from cli.core.output import Column, note, show_list
from cli.core.selection import current_options

_EVERY: Final = 2.0
_KEPT: Final = 1000
"""As many as the service keeps."""
_COLUMNS: Final = (
    Column("AT", "at", whole=True),
    Column("NOTICE", "name", whole=True),
    Column("NODE", "node", rank=1),
    Column("ABOUT", "words"),
)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Show new ones as they come, until Ctrl-C.")
@period_options
@limit_option(20)
@listing_options
def notices(limit: int, since: str | None, until: str | None, *, follow: bool) -> None:
    """Show the last notices of the service, oldest first, or with --tenant those about a tenant.

    Needs an API key (ORCH_API_KEY).

    \b
    Example:
      nooble-orch notices --follow
      nooble-orch notices --since 1h --all
    """
    seen: set[str] = set()
    reached = False
    only = current_options().tenant
    count = _KEPT if since or until or only else min(limit + 1, _KEPT)
    with AdminApi(find_target()) as api:
        while True:
            try:
                found = api.get("orchestrator.load", top=0, notices=count)["notices"]
            except CliFailure as failure:
                if not reached or not failure.passes:
                    raise
                note(f"{failure.message} Trying again.")
                found = []
            reached = True
            wanted = [one for one in found if (since or "") <= one["at"] and (until is None or one["at"] < until)]
            wanted = [one for one in wanted if only in {None, (one.get("about") or {}).get("tenant_id")}]
            fresh = [_row(notice) for notice in reversed(wanted[:limit]) if str(notice) not in seen]
            seen = {str(notice) for notice in found} or seen
            if fresh or not follow:
                show_list(fresh, _COLUMNS, "Nothing was told yet.", more=not follow and len(wanted) > limit)
            if not follow:
                return
            time.sleep(_EVERY)


def _row(notice: dict[str, Any]) -> dict[str, Any]:
    words = ", ".join(f"{name} {value}" for name, value in (notice.get("about") or {}).items())
    return {**notice, "words": words}
