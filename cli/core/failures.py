"""How a command ends that did not do what it was asked for: one sentence, a hint, an exit code."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import click


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    INCOMPLETE = 5
    """Done in part, or timed out."""
    INTERRUPTED = 130


class CliFailure(Exception):
    """A command that can't go on.

    Args:
        message: one sentence: what is wrong.
        hint: what the person can do about it; may be empty.
        code: what the process ends with.
    """

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def show(self) -> None:
        """Say on stderr what is wrong, and what can be done about it."""
        click.echo(self.message, err=True)
        if self.hint:
            click.echo(f"Hint: {self.hint}", err=True)


_BY_STATUS: Final = {
    400: Exit.USAGE,
    404: Exit.NOT_FOUND,
    422: Exit.USAGE,
    502: Exit.UNREACHABLE,
    503: Exit.UNREACHABLE,
    504: Exit.INCOMPLETE,
}
_HINTS: Final = {
    401: "Give a valid token with --token or ORCH_TOKEN; 'nooble-orch token create' makes one for development.",
    403: "The token lacks the permission or the tenant: make one with another --role or --tenant.",
    429: "Wait a moment and try again.",
    503: "'nooble-orch doctor' shows what is away.",
}
_CODE_HINTS: Final = {
    "ORCH_TENANT_001": "An operator has paused the tenant; 'nooble-orch tenants resume' lets its work start again.",
    "ORCH_TENANT_002": "An operator drains the tenant; 'nooble-orch tenants resume' takes work in again.",
}
_KEY_HINTS: Final = {
    401: "Give a valid API key with ORCH_API_KEY, or in a profile.",
    403: "The API key lacks the scope that this needs.",
}


def refusal(status: int, error: Mapping[str, Any], *, by_key: bool = False) -> CliFailure:
    """Turn an error that the service answered into the failure of a command.

    Args:
        status: the HTTP status.
        error: of the envelope: `message`, and `code`, `details` and `retry_after_ms` where there are any.
        by_key: whether an API key was shown instead of a token.
    """
    details = error.get("details", ())
    # A single fault is already part of the service's sentence.
    faults = "; ".join(f"{fault['path']} {fault['message']}" for fault in details) if len(details) > 1 else ""
    wait_ms = error.get("retry_after_ms")
    wait = f"Try again in {wait_ms / 1000:.1f} s." if wait_ms else ""
    usual = (by_key and _KEY_HINTS.get(status)) or _HINTS.get(status, "")
    hint = " ".join(part for part in (faults, _CODE_HINTS.get(error.get("code", "")) or wait or usual) if part)
    return CliFailure(error["message"], hint, _BY_STATUS.get(status, Exit.FAILED))


def failure_in(error: BaseException) -> CliFailure | None:
    """Find the failure that ended a nursery; what was cancelled beside it does not count."""
    if isinstance(error, CliFailure):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [failure_in(inner) for inner in error.exceptions]
        # Only where every leaf is a failure is one of them the whole story.
        return found[0] if all(found) else None
    return None
