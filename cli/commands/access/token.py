"""`token`: create tokens, for development and for installations without an identity provider."""

import os

import click

from cli.core.context import chosen_data_dir
from cli.core.devfile import SECRET_NAME, find_data_dir
from cli.core.failures import CliFailure, Exit
from cli.core.options import Duration, choice_option, target_options
from cli.core.selection import current_options
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingsFault, load_settings
from orchestrator.config.settings import JwtSettings
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.principal import Role


@click.group()
@target_options
def token() -> None:
    """Create tokens for development.

    \b
    Example:
      nooble-orch token create --tenant acme --user ada
    """


@token.command()
@click.option("--user", default="developer", show_default=True, help="User id of the holder.")
@choice_option("--role", [role.value for role in Role], "Role of the holder", default="user", show_default=True)
@click.option("--permissions", metavar="LIST", help="Such as chat:read,chat:write; default: those of the role.")
@click.option(
    "--ttl",
    type=Duration(),
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="Lifetime, such as 90, 15m, 8h or 30d.",
)
@target_options
def create(user: str, role: str, permissions: str | None, ttl: float) -> None:
    """Create a token and print it alone.

    It is signed with ORCH_JWT__SECRET, or else with the secret of the dev stack. --tenant may list several tenants,
    separated by commas.

    \b
    Example:
      export ORCH_TOKEN=$(nooble-orch token create --tenant acme --ttl 8h)
    """
    tenants = (current_options().tenant or os.environ.get("ORCH_TENANT", "")).split(",")
    if not all(tenants):
        raise CliFailure("A token needs a tenant.", "Set --tenant.", Exit.USAGE)
    for name in (user, *tenants):
        if not is_id(name):
            hint = "Ids have letters, digits, '_', '.' and '-', 64 of them at most."
            raise CliFailure(f"The service takes no token with the id '{name}'.", hint, Exit.USAGE)
    jwt = _jwt_settings()
    print(
        create_token(
            jwt.secret,
            tenants[0] if len(tenants) == 1 else tenants,
            user,
            Role(role),
            permissions=permissions.split(",") if permissions else None,
            ttl=ttl,
            issuer=jwt.issuer,
            audience=jwt.audience,
        )
    )


def _jwt_settings() -> JwtSettings:
    environ, data_dir = dict(os.environ), chosen_data_dir()
    if data_dir or not {"ORCH_JWT__SECRET", "ORCH_JWT__SECRET_FILE"} & environ.keys():
        directory = data_dir or find_data_dir()
        secret = directory / SECRET_NAME if directory else None
        if secret is None or not secret.is_file():
            raise CliFailure(
                "There is no secret to sign with.",
                "Set ORCH_JWT__SECRET to the secret of the service, or start 'nooble-orch dev' here first.",
            )
        environ["ORCH_JWT__SECRET"] = secret.read_text(encoding="utf-8").strip()
    try:
        return load_settings(DEFAULTS, environ).jwt
    except SettingsFault as fault:
        raise CliFailure("; ".join(fault.faults) + ".", "'nooble-orch config' shows all settings.") from None
