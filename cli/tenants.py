"""`tenants`: show, pause, resume, drain."""

import time
from typing import Any, Final

import click

from cli.client import AdminApi
from cli.completion import complete_tenants
from cli.confirm import confirm
from cli.context import find_target
from cli.failures import CliFailure, Exit
from cli.options import listing_options
from cli.output import note, show_record

_LOOK_EVERY: Final = 0.5
_tenant_argument = click.argument("tenant_id", metavar="TENANT", shell_complete=complete_tenants)
_yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@listing_options
def tenants() -> None:
    """Show, pause, resume and drain tenants. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Example:
      nooble-orch tenants show acme
    """


@tenants.command()
@_tenant_argument
@listing_options
def show(tenant_id: str) -> None:
    """Show a tenant's state, and how much of its work is there.

    \b
    Example:
      nooble-orch tenants show acme -o json
    """
    with AdminApi(find_target()) as api:
        show_record(api.get(f"tenant.get/{tenant_id}"))


@tenants.command()
@_tenant_argument
@_yes_option
@listing_options
def pause(tenant_id: str, *, yes: bool) -> None:
    """Start nothing new of a tenant; its work is still taken in.

    \b
    Example:
      nooble-orch tenants pause acme --yes
    """
    confirm(f"Pause tenant {tenant_id}?", yes=yes)
    with AdminApi(find_target()) as api:
        show_record(api.post(f"tenant.pause/{tenant_id}"))


@tenants.command()
@_tenant_argument
@listing_options
def resume(tenant_id: str) -> None:
    """Take in and start a tenant's work again.

    \b
    Example:
      nooble-orch tenants resume acme
    """
    with AdminApi(find_target()) as api:
        show_record(api.post(f"tenant.resume/{tenant_id}"))


@tenants.command()
@_tenant_argument
@click.option("--timeout", type=click.FloatRange(0), default=300.0, show_default=True, help="Seconds to wait.")
@_yes_option
@listing_options
def drain(tenant_id: str, timeout: float, *, yes: bool) -> None:
    """Take in nothing more of a tenant, and wait until what is there is worked off.

    Ends with 5 if that takes longer than the timeout; the tenant goes on draining then. Ctrl-C leaves it draining too.

    \b
    Example:
      nooble-orch tenants drain acme --timeout 60 --yes
    """
    confirm(f"Drain tenant {tenant_id}?", yes=yes)
    with AdminApi(find_target()) as api:
        state = api.post(f"tenant.drain/{tenant_id}")
        try:
            state = _wait(api, state, timeout)
        except KeyboardInterrupt:
            note(f"{tenant_id} goes on draining; 'nooble-orch tenants resume {tenant_id}' would stop that.")
            raise
    show_record(state)
    if state["state"] != "drained":
        left = _left(state)
        message = f"{tenant_id} is not drained yet: {left} task{'s' if left != 1 else ''} left after {timeout:g} s."
        raise CliFailure(message, f"Look again with 'nooble-orch tenants show {tenant_id}'.", Exit.INCOMPLETE)


def _wait(api: AdminApi, state: dict[str, Any], timeout: float) -> dict[str, Any]:
    deadline, shown = time.monotonic() + timeout, -1
    while state["state"] == "draining" and time.monotonic() < deadline:
        if _left(state) != shown:
            shown = _left(state)
            note(f"{shown} left: {state['queued']} queued, {state['in_hand']} running, {state['delayed']} delayed")
        time.sleep(min(_LOOK_EVERY, max(0.0, deadline - time.monotonic())))
        state = api.get(f"tenant.get/{state['tenant_id']}")
    return state


def _left(state: dict[str, Any]) -> int:
    return int(state["queued"] + state["in_hand"] + state["delayed"])
