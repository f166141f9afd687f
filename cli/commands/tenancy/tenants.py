"""`tenants`: list, show, configure, pause, resume, drain, export and import tenants."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

import click
from attrs import fields

from cli.core.client import AdminApi
from cli.core.completion import complete_tenants
from cli.core.confirm import confirm, tenant_scope
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import (
    Duration,
    choice_option,
    confirm_options,
    limit_option,
    listing_options,
    named_tenant,
    split_tenant,
    tenant_argument,
    watch_option,
)
from cli.core.output import Column, note, note_changes, show_list, show_record
from cli.core.selection import current_options
from cli.core.values import json_value
from cli.waiting.polling import poll

_STATES: Final = ("active", "paused", "draining", "drained")
_TENANT_AND_FILE: Final = 2
_COLUMNS: Final = (
    Column("TENANT", "tenant_id", whole=True),
    Column("STATE", "state", whole=True),
    Column("WEIGHT", "weight", rank=3),
    Column("BACKLOG", "backlog"),
    Column("QUEUED", "queued", rank=1),
    Column("RUN", "in_hand"),
    Column("LATER", "delayed", rank=1),
    Column("ASIDE", "parked", rank=2),
    Column("DLQ", "dead_letters"),
    Column("OLDEST", "oldest_waiting", age=True),
    Column("DAMAGE", "damage", style="red", sparse=True),
)


def settings_of_tenants() -> dict[str, str]:
    """Return what `configure` sets, by name, and what each does."""
    from orchestrator.models.operations.tenant import TenantSettings  # noqa: PLC0415 - lists need no model

    return {each.name: get_args(each.type)[1].description for each in fields(TenantSettings)}


class _ConfigureCommand(click.Command):
    """Lists the settings in its help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Settings"):
            formatter.write_dl(list(settings_of_tenants().items()))
        super().format_options(ctx, formatter)


@click.group()
@listing_options
def tenants() -> None:
    """List, show, configure, pause, resume and drain tenants. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Example:
      nooble-orch tenants show acme
    """


@tenants.command("list")
@choice_option("--state", _STATES, "Only tenants in this state", also=("--status",))
@limit_option(200)
@watch_option
@listing_options
def list_tenants(state: str | None, limit: int) -> None:
    """List tenants by name, or with --tenant one.

    \b
    Example:
      nooble-orch tenants list
    """
    with AdminApi(find_target()) as api:
        only = current_options().tenant
        found = [api.get(f"tenant.get/{only}")] if only else api.listed("tenant.list", limit, state=state)
        shown = [one for one in found if state in {None, one["state"]}] if only else found
        show_list(shown, _COLUMNS, "No tenants found.")


@tenants.command(cls=_ConfigureCommand)
@click.argument("names", metavar="[TENANT] NAME=VALUE...", nargs=-1, required=True, shell_complete=complete_tenants)
@listing_options
def configure(names: tuple[str, ...]) -> None:
    """Change what is configured of a tenant. NAME= without a value (null) removes what is its own; models takes JSON.

    \b
    Example:
      nooble-orch tenants configure acme weight=2 concurrency=50 rate=
      nooble-orch tenants configure acme 'models={"large": {"tokens_day": 50000}}'
    """
    tenant_id, settings = split_tenant(names, lambda name: "=" in name)
    if not settings:
        raise click.UsageError("Give at least one NAME=VALUE.")
    with AdminApi(find_target()) as api:
        show_record(api.put(f"tenant.configure/{tenant_id}", dict(_setting(one) for one in settings)))


@tenants.command("import")
@click.argument("names", metavar="[TENANT] FILE", nargs=-1, required=True, shell_complete=complete_tenants)
@confirm_options
@listing_options
def import_work(names: tuple[str, ...], *, yes: bool) -> None:
    """Import tasks that 'tenants drain --export' wrote elsewhere; those that exist here are skipped.

    \b
    Example:
      nooble-orch tenants import acme acme.jsonl --yes
    """
    if len(names) > _TENANT_AND_FILE:
        raise click.UsageError("Give a tenant and one file.")
    tenant_id, file = named_tenant(names[0] if len(names) == _TENANT_AND_FILE else None), Path(names[-1])
    if not file.is_file():
        raise click.BadParameter(f"There is no file '{file}'.")
    from cli.commands.tenancy.transfers import checked_import, read_import  # noqa: PLC0415 - lists need no format of files

    with AdminApi(find_target()) as api:
        confirm(lambda: f"Import {checked_import(api, tenant_id, file)} into tenant {tenant_id}?", yes=yes)
        show_record(read_import(api, tenant_id, file))


@tenants.command()
@tenant_argument
@listing_options
def show(tenant_id: str) -> None:
    """Show the state of a tenant, and the number of its tasks.

    \b
    Example:
      nooble-orch tenants show acme -o json
    """
    with AdminApi(find_target()) as api:
        show_record(api.get(f"tenant.get/{tenant_id}"))


@tenants.command("callback-secret")
@tenant_argument
@click.option("--rotate", is_flag=True, help="Replace it; for a day callbacks are signed with both.")
@listing_options
def callback_secret(tenant_id: str, *, rotate: bool) -> None:
    """Show the secret with which receivers verify the callbacks of a tenant.

    \b
    Example:
      nooble-orch tenants callback-secret acme
    """
    with AdminApi(find_target()) as api:
        if rotate:
            show_record(api.post(f"tenant.rotate_callback_secret/{tenant_id}"))
        else:
            show_record(api.get(f"tenant.callback_secret/{tenant_id}"))


@tenants.command()
@tenant_argument
@confirm_options
@listing_options
def pause(tenant_id: str, *, yes: bool) -> None:
    """Pause a tenant: start none of its tasks, but accept new ones.

    \b
    Example:
      nooble-orch tenants pause acme --yes
    """
    with AdminApi(find_target()) as api:
        confirm(lambda: f"Pause tenant {tenant_id}{_scope(api, tenant_id)}?", yes=yes)
        show_record(api.post(f"tenant.pause/{tenant_id}"))


@tenants.command()
@tenant_argument
@listing_options
def resume(tenant_id: str) -> None:
    """Resume a tenant after a pause or a drain.

    \b
    Example:
      nooble-orch tenants resume acme
    """
    with AdminApi(find_target()) as api:
        show_record(api.post(f"tenant.resume/{tenant_id}"))


@tenants.command()
@tenant_argument
@click.option("--timeout", type=Duration(), default=300.0, show_default=True, metavar="TIME", help="Time limit.")
@click.option("--discard", is_flag=True, help="Park queued tasks at once; 'resume' brings them back.")
@click.option("--deadline", type=Duration(), metavar="TIME", help="Park queued tasks after this time, such as 30s.")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the parked tasks to this file, for 'import' elsewhere. With --discard or --deadline.",
)
@confirm_options
@listing_options
def drain(
    tenant_id: str, timeout: float, deadline: float | None, file: Path | None, *, discard: bool, yes: bool
) -> None:
    """Drain a tenant: accept no new tasks, and wait until the others have ended or are parked.

    Exit code 5: the time limit has passed. The tenant goes on draining then, as it does after Ctrl-C. Exported tasks
    stay parked here as well: either import them elsewhere or resume the tenant here, not both.

    \b
    Example:
      nooble-orch tenants drain acme --timeout 60 --yes
    """
    if discard and deadline is not None:
        raise click.UsageError("--discard parks all queued tasks at once: it excludes --deadline.")
    if file is not None and not discard and deadline is None:
        raise click.UsageError("--export needs --discard or --deadline: only parked tasks can be exported.")
    if file is not None:
        from cli.commands.tenancy.transfers import must_be_writable  # noqa: PLC0415 - as in `import_work`

        must_be_writable(file)
    body: dict[str, Any] = {"mode": "discard" if discard else "work_off"}
    if deadline is not None:
        body["deadline_seconds"] = deadline
    with AdminApi(find_target()) as api:
        confirm(lambda: f"Drain tenant {tenant_id}{_scope(api, tenant_id)}?", yes=yes)
        route, tell = f"tenant.get/{tenant_id}", _progress(_left(api.post(f"tenant.drain/{tenant_id}", body)))
        try:
            state = poll(api, route, _has_ended, timeout=timeout, tell=tell)
        except (KeyboardInterrupt, CliFailure):
            note(f"{tenant_id} goes on draining; 'nooble-orch tenants resume {tenant_id}' stops it.")
            raise
        if file is not None and state["state"] == "drained":
            from cli.commands.tenancy.transfers import write_export  # noqa: PLC0415 - as in `import_work`

            note(f"{write_export(api, tenant_id, file)} tasks are in {file}.")
    show_record(state)
    if _has_ended(state) and state["state"] != "drained":
        message = f"The drain of {tenant_id} was stopped by another change: it is {state['state']} now."
        raise CliFailure(message, f"'nooble-orch audit --tenant {tenant_id}' shows who did it.")
    if state["state"] != "drained":
        left = _left(state)
        message = f"{tenant_id} is not drained yet: {left} task{'s' if left != 1 else ''} left after {timeout:g} s."
        raise CliFailure(message, f"'nooble-orch tenants show {tenant_id}' shows its progress.", Exit.INCOMPLETE)


def _progress(first: int) -> Callable[[dict[str, Any]], None]:
    """Return a function that notes the progress of a drain, with an estimate of the time left, at each change."""
    began, changed = time.monotonic(), note_changes()

    def tell(state: dict[str, Any]) -> None:
        left, elapsed = _left(state), time.monotonic() - began
        done = first - left
        eta = f", about {elapsed / done * left:.0f} s to go" if done > 0 and left else ""
        behind = left - state["queued"] - state["in_hand"] - state["delayed"]
        counts = (
            f"{state['queued']} queued, {behind} behind others, {state['in_hand']} running, {state['delayed']} delayed"
        )
        if state["state"] == "draining":
            changed(left, f"{left} left: {counts}{eta}")

    return tell


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    known = settings_of_tenants()
    if not sign or name not in known:
        raise click.UsageError(f"'{text}' is not NAME=VALUE; the names are {', '.join(known)}.")
    if not value:
        return name, None if name != "fair_users" else False
    if name == "tier":
        return name, value
    try:
        return name, json_value(value)
    except ValueError:
        raise click.UsageError(f"'{value}' is no value of {name}: give a number, or true or false.") from None


def _scope(api: AdminApi, tenant_id: str) -> str:
    """Return what a change of a tenant concerns, for a question."""
    return tenant_scope(api.get(f"tenant.get/{tenant_id}"))


def _has_ended(state: dict[str, Any]) -> bool:
    return bool(state["state"] != "draining")


def _left(state: dict[str, Any]) -> int:
    # What is parked is left for later, and a service of an older version tells no backlog.
    counted = int(state["queued"] + state["in_hand"] + state["delayed"])
    return int(state["backlog"] - state["parked"]) if "backlog" in state else counted
