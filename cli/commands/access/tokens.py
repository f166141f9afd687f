"""`tokens`: revoke tokens."""

import click

from cli.core.client import AdminApi
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.options import confirm_options, listing_options
from cli.core.output import show_record
from cli.core.selection import current_options


@click.group()
@listing_options
def tokens() -> None:
    """Revoke tokens. Needs an API key with the scope admin (ORCH_API_KEY).

    \b
    Example:
      nooble-orch tokens revoke --user ada
    """


@tokens.command()
@click.option("--jti", metavar="ID", help="The token with this id.")
@click.option("--user", metavar="USER", help="All tokens of a user; of --tenant's, where it is given.")
@click.option("--of-tenant", metavar="TENANT", help="The same as --tenant.")
@click.option("--all-tenants", is_flag=True, help="With --user: in every tenant, whatever tenant is set.")
@confirm_options
@listing_options
def revoke(jti: str | None, user: str | None, of_tenant: str | None, *, all_tenants: bool, yes: bool) -> None:
    """Revoke a token, or all tokens of a user or a tenant that were issued until now.

    The tenant is that of --tenant, ORCH_TENANT or the profile; a user without a tenant is one in every tenant.
    Takes effect in every process within milliseconds, and closes the open sockets of these tokens. Tokens that are
    issued afterwards are valid.

    \b
    Example:
      nooble-orch tokens revoke --user ada --tenant acme --yes
    """
    target, option = find_target(), current_options().tenant
    if of_tenant and option and of_tenant != option:
        raise click.UsageError(f"The tenant is '{of_tenant}' by --of-tenant, and '{option}' by --tenant: give one.")
    named_tenant = of_tenant or option
    if all_tenants and (named_tenant or not user):
        raise click.UsageError("--all-tenants goes with --user, and without a tenant.")
    if jti and (user or named_tenant):
        raise click.UsageError("A token with --jti is one of any user and tenant: give neither.")
    if not (jti or user or named_tenant):
        raise click.UsageError("Give either --jti, or --user, --tenant or both.")
    # The first tenant of a dev stack is a default for lists, and no choice of a user.
    chosen = target.tenant if target.names_tenant and not (all_tenants or jti) else None
    scope = named_tenant or chosen
    named = {"jti": jti, "user_id": user, "tenant_id": scope}
    confirm(f"Revoke {_words(jti, user, scope)}?", yes=yes)
    with AdminApi(target) as api:
        show_record(api.post("token.revoke", {name: value for name, value in named.items() if value}))


def _words(jti: str | None, user: str | None, tenant: str | None) -> str:
    if jti:
        return f"the token {jti}"
    place = f" for tenant {tenant}" if tenant else " in every tenant"
    return f"all tokens of user {user}{place}" if user else f"all tokens of tenant {tenant}"
