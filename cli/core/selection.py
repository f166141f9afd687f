"""The values of the options that all commands share: target, credentials, output format."""

from pathlib import Path
from typing import Any, Final

import click
from attrs import frozen

_META: Final = "nooble-orch.options"


@frozen
class Options:
    """The values of the shared options; None where the command line sets none."""

    redis_url: str | None = None
    api_url: str | None = None
    tenant: str | None = None
    token: str | None = None
    api_key: str | None = None
    profile: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    data_dir: Path | None = None
    format: str | None = None
    color: bool = True
    verbose: bool = False
    dry_run: bool = False
    """Of a command that asks: whether it only says what it would ask."""


def set_option(context: click.Context, name: str, value: Any) -> None:
    """Set a field of `Options` for the running command; the last value wins."""
    # `meta` is one dictionary for a command and the groups above it, and click parses the groups first: an option after
    # the command overrides the same option before it.
    context.meta.setdefault(_META, {})[name] = value


def current_options() -> Options:
    """Return the shared options of the running command, given before or after its name."""
    return Options(**click.get_current_context().meta.get(_META, {}))
