"""Confirmation of commands that destroy something."""

import sys

import click

from cli.core.failures import CliFailure, Exit


def confirm(question: str, *, yes: bool) -> None:
    """Return only if `--yes` is given or the user confirms.

    Raises:
        CliFailure: the user declines, or stdin is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliFailure("This needs a confirmation, and there is no terminal.", "Add --yes.", Exit.USAGE)
    if not click.confirm(question, err=True):
        raise CliFailure("Nothing was changed.", "", Exit.FAILED)
