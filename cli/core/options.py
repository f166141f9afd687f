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
    _option("--redis-url", metavar="URL", help="Redis (ORCH_REDIS_URL)."),
    _option("--api-url", metavar="URL", help="Base URL of the service (ORCH_API_URL)."),
    _option("--tenant", metavar="TENANT", help="The tenant (ORCH_TENANT).", shell_complete=complete_tenants),
    _option("--token", metavar="JWT", help="The token (ORCH_TOKEN)."),
    _option(
        "--profile",
        metavar="NAME",
        help="A profile of ~/.config/nooble-orch/config.toml (ORCH_PROFILE).",
        shell_complete=complete_profiles,
    ),
    _option("--no-color", "color", flag_value=False, help="No colors."),
)
_FORMAT: Final = _option(
    "-o",
    "--output",
    "format",
    type=click.Choice(FORMATS),
    help="Form of the output; default: a table on a terminal, JSON lines in a pipe.",
)

tenant_argument: Final = click.argument("tenant_id", metavar="TENANT", shell_complete=complete_tenants)
yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
data_dir_option: Final = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="The data directory of a dev stack."
)


def target_options(command: F) -> F:
    """Give a command the options that say which stack it talks to."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def listing_options(command: F) -> F:
    """Give a command that prints records `-o`, beside what `target_options` gives."""
    return target_options(_FORMAT(command))


def limit_option(default: int = 50) -> Callable[[F], F]:
    """Return the option that bounds a list."""
    return click.option("--limit", type=click.IntRange(1), default=default, show_default=True, help="At most so many.")


def choice_option(name: str, choices: Sequence[str], says: str, **settings: Any) -> Callable[[F], F]:
    """Return an option that takes one of several words, and whose help lists them."""
    kind, words = click.Choice(choices, case_sensitive=False), ", ".join(choices)
    return click.option(name, type=kind, metavar=name[2:].upper(), help=f"{says}: {words}.", **settings)
