"""Asking before something is destroyed."""

import sys

import click

from cli.core.failures import CliFailure, Exit


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if the person, or `--yes`, agrees.

    Raises:
        CliFailure: they do not, or there is no terminal to ask at.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliFailure("This needs a confirmation, and there is no terminal.", "Add --yes.", Exit.USAGE)
    if not click.confirm(question, err=True):
        raise CliFailure("Nothing was changed.", "", Exit.FAILED)
