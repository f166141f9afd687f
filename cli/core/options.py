"""Options and arguments that commands share."""

import re
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from cli.core.completion import complete_profiles, complete_tenants
from cli.core.context import find_target
from cli.core.failures import CliFailure
from cli.core.output import note, start_over
from cli.core.selection import current_options, set_option
from cli.core.terminal import can_draw
from cli.core.values import duration_seconds, moment

F = TypeVar("F", bound=Callable[..., Any])
FORMATS: Final = ("table", "wide", "json", "jsonl", "yaml")
_WATCH_SECONDS: Final = 2.0
ALL: Final = 10_000_000
"""The limit of a list that is shown as a whole."""


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        set_option(context, str(parameter.name), value)


def _option(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_keep, default=None, **settings)


_FILE: Final = click.Path(exists=True, dir_okay=False)
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
    _option("--api-key", metavar="KEY", help="API key (ORCH_API_KEY)."),
    _option("--ca-cert", metavar="FILE", help="Authorities to trust, in PEM (ORCH_CA_CERT).", type=_FILE),
    _option("--client-cert", metavar="FILE", help="Client certificate, in PEM (ORCH_CLIENT_CERT).", type=_FILE),
    _option("--client-key", metavar="FILE", help="Its private key, in PEM (ORCH_CLIENT_KEY).", type=_FILE),
    _option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of a dev stack (ORCH_DATA_DIR); default: the nearest .nooble.",
    ),
    _option("-v", "--verbose", flag_value=True, help="Show requests and their answers' status on stderr."),
    _option("--no-color", "color", flag_value=False, help="No colors."),
)
_FORMAT: Final = _option(
    "-o",
    "--output",
    "format",
    type=click.Choice(FORMATS),
    help="Output format; default: table on a terminal, jsonl in a pipe.",
)

yes_option: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def confirm_options(command: F) -> F:
    """Add `--yes`, and `--dry-run`, with which the command ends where it would ask: see `confirm`."""
    dry = _option("--dry-run", flag_value=True, help="Only say what would be done, and to how much.")
    return yes_option(dry(command))


def named_tenant(positional: str | None) -> str:
    """Return the tenant of a command: its argument, or else that of `--tenant`, the environment or the profile.

    Args:
        positional: the argument; None: there is none.

    Raises:
        UsageError: there is no tenant, or the argument is not the tenant of `--tenant`.
    """
    option = current_options().tenant
    if positional and option and positional != option:
        raise click.UsageError(f"The tenant is '{positional}' by the argument, and '{option}' by --tenant: give one.")
    tenant = positional or find_target().tenant
    if not tenant:
        raise click.UsageError("Which tenant? Give it as argument, with --tenant or with ORCH_TENANT.")
    return tenant


def tenant_argument(command: F) -> F:
    """Add the argument TENANT, which may be left out where `--tenant` names it."""

    @wraps(command)
    def run(*arguments: Any, tenant_id: str | None, **options: Any) -> Any:
        return command(*arguments, tenant_id=named_tenant(tenant_id), **options)

    given = click.argument("tenant_id", metavar="[TENANT]", required=False, shell_complete=complete_tenants)
    return given(run)  # type: ignore[return-value]  # the wrapper takes what the command takes


def split_tenant(names: Sequence[str], is_item: Callable[[str], bool]) -> tuple[str, list[str]]:
    """Part arguments `[TENANT] ITEM...` into the tenant and the items.

    Args:
        names: the arguments.
        is_item: tells whether a name has the form of an item, so that it is none of a tenant.

    Raises:
        UsageError: see `named_tenant`.
    """
    option = current_options().tenant
    has_tenant = bool(names) and (names[0] == option or not is_item(names[0]))
    return named_tenant(names[0] if has_tenant else None), list(names[has_tenant:])


def target_options(command: F) -> F:
    """Add the options for the target of a command."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def listing_options(command: F) -> F:
    """Add the options for the target and the output format of a command that prints records."""
    return target_options(_FORMAT(command))


def limit_option(default: int = 50) -> Callable[[F], F]:
    """Return the options for the length of a list: `--limit` and `--all`, which come as the argument `limit`."""

    def add(command: F) -> F:
        @wraps(command)
        def run(*arguments: Any, limit: int, everything: bool, **options: Any) -> Any:
            return command(*arguments, limit=ALL if everything else limit, **options)

        bound = click.option(
            "--limit", type=click.IntRange(1), default=default, show_default=True, help="Maximum number of items."
        )
        return click.option("--all", "everything", is_flag=True, help="Show all of them.")(bound(run))  # type: ignore[return-value]  # the wrapper takes what the command takes

    return add


class Duration(click.ParamType[Any]):
    """A duration in seconds: a number, or one with a unit, such as `90`, `15m`, `8h` or `30d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return duration_seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[Any]):
    """A moment: a duration before now, such as `1h`, or an RFC 3339 timestamp or day in UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the moment as an RFC 3339 timestamp."""
        try:
            return moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def user_option(items: str) -> Callable[[F], F]:
    """Return the option that chooses what is of one user; `items` is what is listed."""
    return click.option("--user", metavar="USER", help=f"Only {items} of this user.")


def period_options(command: F) -> F:
    """Add `--since` and `--until`."""
    words = "a duration before now, such as 1h, or a timestamp"
    until = period_end("--until", metavar="WHEN", help=f"Only those before this: {words}.")
    since = period_end("--since", metavar="WHEN", help=f"Only those since then: {words}.")
    return since(until(command))


def period_end(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return an option for an end of a period; of the two of a command, the first has to be before the last."""
    return click.option(*names, type=Moment(), callback=_in_order, **settings)


def _in_order(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse a period that ends before it begins: it looks like a list of which nothing is there."""
    first, last = (
        value if one is parameter else context.params.get(str(one.name))
        for one in context.command.params
        if isinstance(one.type, Moment)
    )
    if first is not None and last is not None and first > last:
        raise click.BadParameter(f"the period ends ({last}) before it begins ({first}).", context, parameter)
    return value


dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Only show what would be done.")


def watch_option(command: F) -> F:
    """Add `--watch`, which shows a list again every two seconds, until Ctrl-C."""

    @wraps(command)
    def run(*arguments: Any, watch: bool, **options: Any) -> Any:
        if not watch:
            return command(*arguments, **options)
        return _watch(lambda: command(*arguments, **options))

    return click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")(run)  # type: ignore[return-value]  # the wrapper takes what the command takes


def _watch(show: Callable[[], object]) -> NoReturn:
    reached, told = False, ""
    while True:
        start_over()
        try:
            show()
            reached, told = True, ""
        except CliFailure as failure:
            # The service may be restarting. A terminal was cleared of what was said before.
            if not reached or not failure.passes:
                raise
            if can_draw() or failure.message != told:
                note(f"{failure.message} Trying again.")
            told = failure.message
        time.sleep(_WATCH_SECONDS)


ENTRY: Final = re.compile(r"\d+-\d+")
"""The id of a dead letter."""


def choice_option(
    name: str, choices: Sequence[str], summary: str, *, also: Sequence[str] = (), **settings: Any
) -> Callable[[F], F]:
    """Return an option with a choice of values, which its help lists after the summary; `also` are its other names."""
    kind, words = click.Choice(choices, case_sensitive=False), ", ".join(choices)
    return click.option(name, *also, type=kind, metavar=name[2:].upper(), help=f"{summary}: {words}.", **settings)
