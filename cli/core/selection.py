"""The shared options of a command line, as one record: which stack, as which caller, in which form."""

from typing import Any, Final

import click
from attrs import frozen

_META: Final = "nooble-orch.options"


@frozen
class Options:
    """The shared options that the command line sets; None where it sets none."""

    redis_url: str | None = None
    api_url: str | None = None
    tenant: str | None = None
    token: str | None = None
    profile: str | None = None
    format: str | None = None
    color: bool = True


def set_option(context: click.Context, name: str, value: Any) -> None:
    """Set a field of `Options` for the running command; the last value counts."""
    # `meta` is one dictionary for a command and the groups above it, and click parses the groups first: an option after
    # the command outweighs the same one before it.
    context.meta.setdefault(_META, {})[name] = value


def current_options() -> Options:
    """Return the shared options of the running command, from before and after its name."""
    return Options(**click.get_current_context().meta.get(_META, {}))
