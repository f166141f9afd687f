"""The options that every command takes, before or after its name, merged into one record."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from attrs import frozen

from cli.core.completion import complete_profiles, complete_tenants

F = TypeVar("F", bound=Callable[..., Any])
_META: Final = "nooble-orch.options"
FORMATS: Final = ("table", "json", "jsonl")


@frozen
class Options:
    """What the command line itself says; None where it says nothing."""

    redis_url: str | None = None
    api_url: str | None = None
    tenant: str | None = None
    token: str | None = None
    profile: str | None = None
    format: str | None = None
    color: bool = True


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    # `meta` is one dictionary for a command and the groups above it, and the command's own options come last: so what
    # stands after the command outweighs what stands before it.
    given = context.meta.setdefault(_META, {})
    assert parameter.name is not None  # noqa: S101  # an option always has a name
    if value is not None and context.get_parameter_source(parameter.name) is not click.core.ParameterSource.DEFAULT:
        given[parameter.name] = value


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
_LISTING: Final = (
    _option(
        "-o",
        "--output",
        "format",
        type=click.Choice(FORMATS),
        help="Form of the output; default: a table on a terminal, JSON lines in a pipe.",
    ),
)


def target_options(command: F) -> F:
    """Give a command the options that say which stack it talks to."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def listing_options(command: F) -> F:
    """Give a command that prints records `-o`, beside what `target_options` gives."""
    for option in reversed(_LISTING):
        command = option(command)
    return target_options(command)


def current_options() -> Options:
    """Return what was given, before and after the command."""
    return Options(**click.get_current_context().meta.get(_META, {}))
