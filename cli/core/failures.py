"""Failures of commands: a sentence, a hint and an exit code."""

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import click

from orchestrator.config.masking import mask_credentials


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
    """A failure that ends a command.

    Args:
        message: the fault, in one sentence.
        hint: the remedy; may be empty.
        code: the exit code of the process.
        error_code: the service's code, such as `ORCH_NOTF_001`; empty: the service said none.
        correlation_id: of the request, by which logs and audit trail name it.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        code: Exit = Exit.FAILED,
        *,
        error_code: str = "",
        correlation_id: str = "",
    ) -> None:
        # Texts of libraries, and URLs, may have credentials in them.
        self.message = mask_credentials(message)
        super().__init__(self.message)
        self.hint = mask_credentials(hint)
        self.code = code
        self.error_code = error_code
        self.correlation_id = correlation_id

    @property
    def passes(self) -> bool:
        """Whether a request that failed so may succeed after a while: the service, or what it needs, is away."""
        return self.code in {Exit.UNREACHABLE, Exit.INCOMPLETE}

    def show(self, *, as_json: bool = False) -> None:
        """Print the message, the hint, the code and the correlation id on stderr."""
        if as_json:
            click.echo(error_text(self.message, self.code, self.hint, self.error_code, self.correlation_id), err=True)
            return
        click.echo(self.message, err=True)
        if self.hint:
            click.echo(f"Hint: {self.hint}", err=True)
        # What can be looked up has both: a service that names no request is none of ours.
        if self.error_code and self.correlation_id:
            click.echo(f"Code {self.error_code}, correlation id {self.correlation_id}.", err=True)


def error_text(message: str, code: int, hint: str = "", error_code: str = "", correlation_id: str = "") -> str:
    """Return a failure as one line of JSON; `exit_code` is that of the process."""
    error = {"message": message, "code": error_code or None, "hint": hint or None}
    return json.dumps({"error": {**error, "correlation_id": correlation_id or None, "exit_code": int(code)}})


_BY_STATUS: Final = {
    400: Exit.USAGE,
    404: Exit.NOT_FOUND,
    422: Exit.USAGE,
    502: Exit.UNREACHABLE,
    503: Exit.UNREACHABLE,
    504: Exit.INCOMPLETE,
}
_BY_CODE: Final = {
    "ORCH_TENANT_001": Exit.FAILED,
    "ORCH_TENANT_002": Exit.FAILED,
    "ORCH_CONN_002": Exit.FAILED,
    "ORCH_CONN_003": Exit.FAILED,
}
"""Refusals whose status says that something is unavailable, and that say nothing of the way to the service."""
_HINTS: Final = {
    401: "Give a valid token with --token or ORCH_TOKEN; 'nooble-orch token create' creates one for development.",
    403: "The token lacks the permission or the tenant: create one with another --role or --tenant.",
    429: "Wait a moment and try again.",
    503: "'nooble-orch doctor' shows what is unavailable.",
}
_CODE_HINTS: Final = {
    "ORCH_TENANT_001": "An operator has paused the tenant; 'nooble-orch tenants resume' starts its work again.",
    "ORCH_TENANT_002": "An operator drains the tenant; 'nooble-orch tenants resume' lets it accept work again.",
}
_KEY_HINTS: Final = {
    401: "Give a valid API key with ORCH_API_KEY, or in a profile.",
    403: "The API key lacks the scope that this command needs.",
}


def refusal(status: int, error: Mapping[str, Any], *, by_key: bool = False) -> CliFailure:
    """Return the failure of a command whose request the service has refused.

    Args:
        status: the HTTP status.
        error: `error` of the envelope: `message`, optionally `code`, `details` and `retry_after_ms`.
        by_key: whether the request carried an API key instead of a token.
    """
    faults = _faults_of(error)
    wait_ms = error.get("retry_after_ms")
    wait = f"Try again in {wait_ms / 1000:.1f} s." if wait_ms else ""
    usual = (by_key and _KEY_HINTS.get(status)) or _HINTS.get(status, "")
    hint = " ".join(part for part in (faults, _CODE_HINTS.get(error.get("code", "")) or wait or usual) if part)
    code = error.get("code") or ""
    return CliFailure(
        error["message"],
        hint,
        _BY_CODE.get(code, _BY_STATUS.get(status, Exit.FAILED)),
        error_code=code,
        correlation_id=error.get("correlation_id") or "",
    )


def _faults_of(error: Mapping[str, Any]) -> str:
    """Return the faults of an error as one sentence; empty: its message says all."""
    details: Sequence[Mapping[str, str]] = error.get("details") or ()
    # The message of a refusal by this service contains a single fault; that of one by another service does not.
    if len(details) == 1 and details[0]["message"] in error["message"]:
        return ""
    return "; ".join(f"{fault['path']} {fault['message'].rstrip('.')}" for fault in details) + "." if details else ""


def failure_in(error: BaseException) -> CliFailure | None:
    """Return the failure that ended a nursery; None where another exception has ended it too."""
    if isinstance(error, CliFailure):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [failure_in(inner) for inner in error.exceptions]
        # A failure beside another exception must not hide that exception.
        return found[0] if all(found) else None
    return None
