"""Confirmation of commands that destroy something."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from cli.core.failures import CliFailure, Exit
from cli.core.output import note
from cli.core.selection import current_options


def confirm(question: str | Callable[[], str], *, yes: bool) -> None:
    """Return only if `--yes` is given or the user confirms; with `--dry-run` say what would be asked, and end.

    Args:
        question: what is asked, with the scope and how much it concerns; a function is called only where it is asked.
        yes: whether `--yes` is given.

    Raises:
        CliFailure: the user declines, or stdin is no terminal.
        Exit: it is a dry run.
    """
    if current_options().dry_run:
        asked = question if isinstance(question, str) else question()
        note(f"Dry run, nothing was changed. Without it: {asked}")
        raise click.exceptions.Exit(Exit.DONE)
    if yes:
        return
    must_be_confirmable(yes=yes)
    if not click.confirm(question if isinstance(question, str) else question(), err=True):
        raise CliFailure("Nothing was changed.", "", Exit.FAILED)


def must_be_confirmable(*, yes: bool) -> None:
    """Check that a command need not ask, or can.

    Raises:
        CliFailure: it has to ask, and stdin is no terminal.
    """
    if not (yes or current_options().dry_run) and not sys.stdin.isatty():
        raise CliFailure("This needs a confirmation, and there is no terminal.", "Add --yes.", Exit.USAGE)


def tenant_scope(state: Mapping[str, Any]) -> str:
    """Return what a change of a tenant concerns, for a question: its state and counts, as the API returns them."""
    # A service of an older version tells no backlog.
    count = state.get("backlog", state["queued"] + state["in_hand"] + state["delayed"])
    return f", which is {state['state']} and has {counted(count, 'task')} ({state['in_hand']} running)"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 task`, `3 tasks`; `plural` where that is no noun with an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def choice_words(choice: Mapping[str, Any]) -> str:
    """Return what narrows a choice, by the names of its filters, in words; empty: nothing does."""
    given = {name.removesuffix("_id").replace("_", " "): value for name, value in choice.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in given.items())
