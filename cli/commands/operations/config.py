"""`config`: the settings in force, and their sources."""

import os
from typing import Any, Final

import click

from cli.core.failures import CliFailure
from cli.core.options import listing_options
from cli.core.output import Column, note, show_list
from cli.core.selection import current_options
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import SettingOrigin, SettingsFault, load_settings, origins, variable
from orchestrator.config.masking import MASK, mask_credentials

_COLUMNS: Final = (
    Column("SETTING", "setting"),
    Column("VALUE", "value"),
    Column("FROM", "source"),
)


@click.command()
@listing_options
def config() -> None:
    """Show every setting of the service in force, and its source; secrets are masked.

    \b
    Example:
      nooble-orch config -o json
    """
    environ = dict(os.environ)
    option = current_options().redis_url
    if option:
        environ["ORCH_REDIS_URL"] = option
    faults: list[str] = []
    try:
        settings = load_settings(DEFAULTS, environ)
    except SettingsFault as fault:
        settings, faults = fault.settings, fault.faults
    found = [_record(origin, "--redis-url" if option else None) for origin in origins(settings, DEFAULTS, environ)]
    show_list(found, _COLUMNS)
    for line in faults:
        note(line)
    if faults:
        number = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise CliFailure(f"The settings have {number}: the service would not start.", "Each is listed above.")


def _record(origin: SettingOrigin, redis_source: str | None) -> dict[str, Any]:
    name = variable(origin.path)
    return {
        "setting": name,
        "value": _masked(origin),
        "source": redis_source if redis_source and origin.path == "redis_url" else origin.source,
        "says": origin.says,
    }


def _masked(origin: SettingOrigin) -> Any:
    if origin.path == "redis_url":
        masked = mask_credentials(origin.value)
        # One that is malformed may have its password anywhere.
        return MASK if "@" in masked.replace(f"{MASK}@", "", 1) else masked
    if origin.secret:
        return MASK if origin.value else ""
    value = ",".join(origin.value) if isinstance(origin.value, tuple) else origin.value
    return mask_credentials(value) if isinstance(value, str) else value
