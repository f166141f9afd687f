"""`queues`: the queues of all tenants, or of one."""

import click

from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.options import limit_option, listing_options, tenant_argument
from cli.core.output import Column, show_list, show_record

_COLUMNS = (
    Column("TENANT", "tenant_id"),
    Column("STATE", "state", whole=True),
    Column("BACKLOG", "backlog"),
    Column("HIGH", "depth.high"),
    Column("NORM", "depth.normal"),
    Column("LOW", "depth.low"),
    Column("RUN", "in_hand"),
    Column("LATER", "delayed"),
    Column("ASIDE", "parked"),
    Column("DLQ", "dead_letters"),
    Column("OLDEST", "oldest_waiting", age=True),
    Column("/MIN", "accepted_per_minute"),
    Column("VTIME", "virtual_time"),
    Column("DAMAGE", "damage", style="red", sparse=True),
)


@click.group(invoke_without_command=True)
@limit_option(200)
@listing_options
@click.pass_context
def queues(context: click.Context, limit: int) -> None:
    """List the queues of all tenants. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Columns: all that was accepted and is not done (the backlog), of that
    queued tasks in the high, normal and low lane, running tasks,
    delayed tasks, tasks parked by a drain, dead letters, age of the oldest
    queued task, tasks accepted in the last minute, virtual time (the tenant
    with the smallest is next).

    \b
    Example:
      nooble-orch queues
    """
    if context.invoked_subcommand is None:
        with AdminApi(find_target()) as api:
            show_list(api.listed("queue.list", limit), _COLUMNS, "No tenants found.")


@queues.command()
@tenant_argument
@listing_options
def show(tenant_id: str) -> None:
    """Show the queue of a tenant: tasks by lane and state, rates, virtual time.

    \b
    Example:
      nooble-orch queues show acme
    """
    with AdminApi(find_target()) as api:
        show_record(api.get(f"queue.get/{tenant_id}"))
