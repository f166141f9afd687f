"""How a command ends that did not do what it was asked for: one sentence, a hint, an exit code."""

from enum import IntEnum
from typing import Final


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


def refusal(
    status: int,
    message: str,
    details: list[tuple[str, str]],
    retry_after_ms: int | None = None,
    *,
    code: str = "",
    by_key: bool = False,
) -> CliFailure:
    """Turn an error that the service answered into the failure of a command.

    Args:
        status: the HTTP status.
        message: the service's sentence.
        details: (path, fault) each.
        retry_after_ms: when the service may be asked again, in ms.
        code: the error's.
        by_key: whether an API key was shown instead of a token.
    """
    # A single fault is already part of the service's sentence.
    faults = "; ".join(f"{path} {fault}" for path, fault in details) if len(details) > 1 else ""
    wait = f"Try again in {retry_after_ms / 1000:.1f} s." if retry_after_ms else ""
    usual = (by_key and _KEY_HINTS.get(status)) or _HINTS.get(status, "")
    hint = " ".join(part for part in (faults, _CODE_HINTS.get(code) or wait or usual) if part)
    return CliFailure(message, hint, _BY_STATUS.get(status, Exit.FAILED))


def failure_in(error: BaseException) -> CliFailure | None:
    """Find the failure that ended a nursery; what was cancelled beside it does not count."""
    if isinstance(error, CliFailure):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [failure_in(inner) for inner in error.exceptions]
        # Only where every leaf is a failure is one of them the whole story.
        return found[0] if all(found) else None
    return None
