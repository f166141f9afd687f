"""`profile`: named stacks: their addresses, tenants and credentials."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from cli.core.context import PROFILE_FIELDS, config_path, current_profile, read_profiles
from cli.core.devfile import write_private
from cli.core.failures import CliFailure, Exit
from cli.core.options import listing_options
from cli.core.output import Column, note, show_list
from cli.core.selection import current_options
from cli.http.errors import InvalidRequest
from cli.http.urls import address_of
from orchestrator.config.masking import mask_credentials

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET: Final = frozenset({"token", "api_key"})
_COLUMNS: Final = (
    Column("", "mark", whole=True),
    Column("PROFILE", "name", whole=True),
    Column("API URL", "api_url"),
    Column("TENANT", "tenant", rank=1),
    Column("CREDENTIALS", "credentials", rank=2),
)


@click.group()
@listing_options
def profile() -> None:
    """Add, list and choose profiles: each names a stack, with its tenant and credentials.

    The profile of a command is that of --profile, ORCH_PROFILE or 'profile use'; else the one called default, where no
    dev stack runs.

    \b
    Example:
      nooble-orch profile add staging --api-url https://orch.example.com
    """


@profile.command()
@click.argument("name", metavar="NAME")
@listing_options
def add(name: str) -> None:
    """Add a profile, or replace it, from the options --api-url, --redis-url, --tenant, --token and --api-key.

    \b
    Example:
      nooble-orch profile add prod --api-url https://orch.example --api-key $KEY
    """
    if not _NAME.fullmatch(name):
        raise click.BadParameter("A profile's name has letters, digits, - and _.")
    given = current_options()
    values = {each: getattr(given, each) for each in PROFILE_FIELDS if getattr(given, each)}
    if not values:
        raise click.UsageError("Give at least one of --api-url, --redis-url, --tenant, --token and --api-key.")
    if given.api_url:
        try:
            address_of(given.api_url)
        except InvalidRequest as error:
            raise click.UsageError(f"{error}.") from None
    section = "".join(f"{each} = {json.dumps(value, ensure_ascii=False)}\n" for each, value in values.items())
    with _alone():
        existed = name in read_profiles()
        text = _without(_text(), name).rstrip("\n")
        _write(f"{text}\n\n[profiles.{name}]\n{section}" if text else f"[profiles.{name}]\n{section}")
    note(f"Profile {name} was {'replaced' if existed else 'added'}; 'nooble-orch profile use {name}' chooses it.")


@profile.command("list")
@listing_options
def list_profiles() -> None:
    """List the profiles; * marks the one that is chosen. Credentials are not shown.

    \b
    Example:
      nooble-orch profile list -o json
    """
    chosen = current_profile()
    rows: list[dict[str, Any]] = []
    for name, fields in sorted(read_profiles().items()):
        shown = {each: mask_credentials(str(value)) for each, value in fields.items() if each not in _SECRET}
        credentials = ", ".join(sorted(_SECRET & fields.keys()))
        rows.append({"name": name, "current": name == chosen, **shown, "credentials": credentials})
        rows[-1]["mark"] = "*" if name == chosen else ""
    show_list(rows, _COLUMNS, f"There are no profiles in {config_path()}.")


@profile.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--none", "no_profile", is_flag=True, help="Choose none any more.")
@listing_options
def use(name: str | None, *, no_profile: bool) -> None:
    """Choose the profile of all commands that name none.

    \b
    Example:
      nooble-orch profile use staging
    """
    if bool(name) == no_profile:
        raise click.UsageError("Give either a profile or --none.")
    with _alone():
        profiles = read_profiles()
        if name and name not in profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise CliFailure(f"There is no profile '{name}'.", f"Known: {known}.", Exit.NOT_FOUND)
        text = re.sub(r"(?m)^current\s*=.*\n?", "", _text(), count=1)
        _write(f"current = {json.dumps(name)}\n{text}" if name else text)
    note(f"Commands use the profile {name} now." if name else "No profile is chosen any more.")


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other command change the file inside the block: of two that read and write it, the last would win."""
    folder = config_path().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text() -> str:
    try:
        return config_path().read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _without(text: str, name: str) -> str:
    """Return the file without the table of a profile."""
    return re.sub(rf"(?ms)^\[profiles\.{re.escape(name)}\]\n.*?(?=^\[|\Z)", "", text)


def _write(text: str) -> None:
    # A link, as into a repository of configuration, stays one.
    path = config_path().resolve()
    draft = path.with_name(f"{path.name}.new")
    write_private(draft, text)
    draft.replace(path)
