"""`keys`: the API keys of services and operators."""

from typing import Any, Final

import click

from cli.core.client import AdminApi
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.options import Duration, choice_option, confirm_options, limit_option, listing_options, watch_option
from cli.core.output import Column, is_table, note, show_list, show_record

SCOPES: Final = ("internal", "admin", "metrics")
"""Those of the model of keys, whose import a list need not wait for; a test holds them to it."""
_COLUMNS = (
    Column("KEY", "key_id", whole=True),
    Column("NAME", "name"),
    Column("SCOPES", "scopes"),
    Column("TENANT", "tenant_id", sparse=True),
    Column("AGE", "created_at", age=True),
    Column("EXPIRES", "expires_at", minute=True, sparse=True),
    Column("USED", "last_used_at", minute=True, sparse=True),
    Column("BY", "created_by"),
)


@click.group()
@listing_options
def keys() -> None:
    """Create, list, rotate and revoke API keys. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Example:
      nooble-orch keys create workflow-engine --scope internal
    """


@keys.command()
@click.argument("name")
@choice_option(
    "--scope",
    SCOPES,
    "What the key opens; several are given one by one",
    multiple=True,
    default=["internal"],
    show_default=True,
)
@click.option("--of-tenant", metavar="TENANT", help="The only tenant that the key is good for; default: all.")
@click.option("--ttl", type=Duration(), metavar="DURATION", help="Lifetime, such as 8h or 90d; default: until revoked.")
@listing_options
def create(name: str, scope: tuple[str, ...], of_tenant: str | None, ttl: float | None) -> None:
    """Create a key for NAME, and show it this one time.

    On a terminal and in a pipe alike the key stands in the field `key`; it is kept nowhere.

    \b
    Example:
      KEY=$(nooble-orch keys create query --ttl 90d -o json | jq -r .key)
    """
    asked = {"name": name, "scopes": list(dict.fromkeys(scope)), "tenant_id": of_tenant, "ttl_seconds": ttl}
    with AdminApi(find_target()) as api:
        _show_created(api.post("key.create", asked))


@keys.command("list")
@limit_option(1000)
@watch_option
@listing_options
def list_keys(limit: int) -> None:
    """List the keys, without the keys themselves. Those of the setting ORCH_API_KEYS are not among them.

    \b
    Example:
      nooble-orch keys list -o json
    """
    with AdminApi(find_target()) as api:
        form = _row if is_table() else dict
        show_list(
            map(form, api.listed("key.list", limit)), _COLUMNS, "There are no API keys beside those of the settings."
        )


@keys.command()
@click.argument("key_id")
@click.option(
    "--grace",
    type=Duration(),
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How long the old key stays good, such as 0, 15m or 7d.",
)
@click.option("--ttl", type=Duration(), metavar="DURATION", help="Lifetime of the new key; default: until revoked.")
@listing_options
def rotate(key_id: str, grace: float, ttl: float | None) -> None:
    """Create a key in place of KEY_ID, with its name, scopes and tenant; the old one stays good for a while.

    \b
    Example:
      nooble-orch keys rotate 4f1c2a9be07d3365 --grace 24h
    """
    with AdminApi(find_target()) as api:
        _show_created(api.post(f"key.rotate/{key_id}", {"grace_seconds": grace, "ttl_seconds": ttl}))


@keys.command()
@click.argument("key_id")
@confirm_options
@listing_options
def revoke(key_id: str, *, yes: bool) -> None:
    """Revoke a key. It is refused in every process within two seconds, and its sockets are closed.

    \b
    Example:
      nooble-orch keys revoke 4f1c2a9be07d3365 --yes
    """
    confirm(f"Revoke the API key {key_id}?", yes=yes)
    with AdminApi(find_target()) as api:
        show_record(api.delete(f"key.revoke/{key_id}"))


def _show_created(created: dict[str, Any]) -> None:
    show_record({"key": created["key"], **created["record"]})
    note("This is the only time that the key is shown.")


def _row(key: dict[str, Any]) -> dict[str, Any]:
    return {**key, "scopes": ", ".join(key["scopes"])}
