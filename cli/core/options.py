"""Options and arguments that commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli.core.completion import complete_profiles, complete_tenants
from cli.core.selection import set_option

F = TypeVar("F", bound=Callable[..., Any])
FORMATS: Final = ("table", "json", "jsonl")


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        set_option(context, str(parameter.name), value)


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_keep, default=None, **settings)


_TARGET: Final = (
    _option("--redis-url", metavar="URL", help="URL of Redis (ORCH_REDIS_URL)."),
    _option("--api-url", metavar="URL", help="Base URL of the service (ORCH_API_URL)."),
    _option("--tenant", metavar="TENANT", help="Tenant (ORCH_TENANT).", shell_complete=complete_tenants),
    _option("--token", metavar="JWT", help="Token (ORCH_TOKEN)."),
    _option(
        "--profile",
        metavar="NAME",
        help="Profile of ~/.config/nooble-orch/config.toml (ORCH_PROFILE).",
        shell_complete=complete_profiles,
    ),
    _option("--no-color", "color", flag_value=False, help="No colors."),
)
_FORMAT: Final = _option(
    "-o",
    "--output",
    "format",
    type=click.Choice(FORMATS),
    help="Output format; default: table on a terminal, jsonl in a pipe.",
)

tenant_argument: Final = click.argument("tenant_id", metavar="TENANT", shell_complete=complete_tenants)
yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
data_dir_option: Final = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory of a dev stack."
)


def target_options(command: F) -> F:
    """Add the options for the target of a command."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def listing_options(command: F) -> F:
    """Add the options for the target and the output format of a command that prints records."""
    return target_options(_FORMAT(command))


def limit_option(default: int = 50) -> Callable[[F], F]:
    """Return the option for the length of a list."""
    return click.option(
        "--limit", type=click.IntRange(1), default=default, show_default=True, help="Maximum number of items."
    )


def choice_option(name: str, choices: Sequence[str], summary: str, **settings: Any) -> Callable[[F], F]:
    """Return an option with a choice of values, which its help lists after the summary."""
    kind, words = click.Choice(choices, case_sensitive=False), ", ".join(choices)
    return click.option(name, type=kind, metavar=name[2:].upper(), help=f"{summary}: {words}.", **settings)
