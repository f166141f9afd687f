"""`trace`: the timeline of a request."""

import click

from cli.core.client import Api
from cli.core.completion import complete_tasks
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import is_table, show_record
from cli.core.terminal import terminal_width
from cli.display.waterfall import waterfall


@click.command()
@click.argument("request_id", metavar="ID", shell_complete=complete_tasks)
@listing_options
def trace(request_id: str) -> None:
    """Show the timeline of a request, by its correlation id or the id of a task.

    Full bars are work, light bars are waiting.

    \b
    Example:
      nooble-orch trace 0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11
    """
    with Api(find_target(), operator=True) as api:
        try:
            timeline = api.get(f"task.trace/{request_id}")
        except CliFailure as failure:
            if failure.code != Exit.NOT_FOUND:
                raise
            task = api.get(f"task.get/{request_id}")
            timeline = api.get(f"task.trace/{task['correlation_id']}")
    if not is_table():
        show_record(timeline)
        return
    for line in waterfall(timeline, min(terminal_width(), 120)):
        print(line)
