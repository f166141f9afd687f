"""`queues`: the queues of all tenants, or of one."""

import click

from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.options import limit_option, listing_options, tenant_argument, watch_option
from cli.core.output import Column, show_list, show_record
from cli.core.selection import current_options

_COLUMNS = (
    Column("TENANT", "tenant_id", whole=True),
    Column("STATE", "state", whole=True),
    Column("BACKLOG", "backlog"),
    Column("HIGH", "depth.high", rank=3),
    Column("NORM", "depth.normal", rank=3),
    Column("LOW", "depth.low", rank=3),
    Column("RUN", "in_hand"),
    Column("LATER", "delayed", rank=1),
    Column("ASIDE", "parked", rank=2),
    Column("DLQ", "dead_letters"),
    Column("SESSIONS", "behind_sessions", wide=True),
    Column("BATCHES", "batch_items", wide=True),
    Column("USERS", "behind_users", wide=True),
    Column("OLDEST", "oldest_waiting", age=True),
    Column("/MIN", "accepted_per_minute", rank=4),
    Column("VTIME", "virtual_time", rank=5),
    Column("DAMAGE", "damage", style="red", sparse=True),
)


@click.group(invoke_without_command=True)
@limit_option(200)
@watch_option
@listing_options
@click.pass_context
def queues(context: click.Context, limit: int) -> None:
    """List the queues of all tenants, or with --tenant of one. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Columns: all that was accepted and is not done (the backlog), of that
    queued tasks in the high, normal and low lane, running tasks,
    delayed tasks, tasks parked by a drain, dead letters, age of the oldest
    queued task, tasks accepted in the last minute, virtual time (the tenant
    with the smallest is next). A narrow terminal gets fewer columns; with
    -o wide tasks that wait behind others of their session, batch or user
    are shown as well.

    \b
    Example:
      nooble-orch queues
    """
    if context.invoked_subcommand is None:
        with AdminApi(find_target()) as api:
            only = current_options().tenant
            found = [api.get(f"queue.get/{only}")] if only else api.listed("queue.list", limit)
            show_list(found, _COLUMNS, "No tenants found.")


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
