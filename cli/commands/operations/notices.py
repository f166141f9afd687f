"""`notices`: what processes tell operators: who joined and left, breakers, tenants."""

import time
from typing import Any, Final

import click

from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import Column, note, show_list

_EVERY: Final = 2.0
_COLUMNS: Final = (
    Column("AT", "at", whole=True),
    Column("NOTICE", "name", whole=True),
    Column("NODE", "node", rank=1),
    Column("ABOUT", "words"),
)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Show new ones as they come, until Ctrl-C.")
@listing_options
def notices(*, follow: bool) -> None:
    """Show the last notices of the service, oldest first. Needs an API key (ORCH_API_KEY).

    \b
    Example:
      nooble-orch notices --follow
    """
    seen: set[str] = set()
    with AdminApi(find_target()) as api:
        while True:
            try:
                found = list(reversed(api.get("orchestrator.load", top=0)["notices"]))
            except CliFailure as failure:
                if not seen or failure.code not in {Exit.UNREACHABLE, Exit.INCOMPLETE}:
                    raise
                note(f"{failure.message} Trying again.")
                found = []
            fresh = [_row(notice) for notice in found if str(notice) not in seen]
            seen = {str(notice) for notice in found} or seen
            if fresh or not follow:
                show_list(fresh, _COLUMNS, "Nothing was told yet.")
            if not follow:
                return
            time.sleep(_EVERY)


def _row(notice: dict[str, Any]) -> dict[str, Any]:
    words = ", ".join(f"{name} {value}" for name, value in (notice.get("about") or {}).items())
    return {**notice, "words": words}
