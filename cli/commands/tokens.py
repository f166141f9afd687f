"""`tokens`: revoke tokens."""

import click

from cli.core.client import AdminApi
from cli.core.confirm import confirm
from cli.core.context import find_target
from cli.core.options import listing_options, yes_option
from cli.core.output import show_record


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
@click.option("--user", metavar="USER", help="All tokens of a user.")
@click.option("--of-tenant", metavar="TENANT", help="All tokens of a tenant; with --user, the user's tokens for it.")
@yes_option
@listing_options
def revoke(jti: str | None, user: str | None, of_tenant: str | None, *, yes: bool) -> None:
    """Revoke a token, or all tokens of a user or a tenant that were issued until now.

    Takes effect in every process within milliseconds, and closes the open sockets of these tokens. Tokens that are
    issued afterwards are valid.

    \b
    Example:
      nooble-orch tokens revoke --user ada --of-tenant acme --yes
    """
    if bool(jti) == bool(user or of_tenant):
        raise click.UsageError("Give either --jti, or --user, --of-tenant or both.")
    named = {"jti": jti, "user_id": user, "tenant_id": of_tenant}
    confirm(f"Revoke {_words(jti, user, of_tenant)}?", yes=yes)
    with AdminApi(find_target()) as api:
        show_record(api.post("token.revoke", {name: value for name, value in named.items() if value}))


def _words(jti: str | None, user: str | None, tenant: str | None) -> str:
    if jti:
        return f"the token {jti}"
    place = f" for tenant {tenant}" if tenant else ""
    return f"all tokens of user {user}{place}" if user else f"all tokens of tenant {tenant}"
