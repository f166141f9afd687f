"""Codes of failures by which the guide for frontends tells them apart."""

from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.errors import BadGateway, OrchestratorError, TokenExpired

CODES: Final[dict[str, str]] = {
    "ORCH_AUTH_001": "SYSTEM.AUTH_FAILED",
    "ORCH_AUTH_002": "SYSTEM.PERMISSION_DENIED",
    "ORCH_AUTH_003": "SYSTEM.PERMISSION_DENIED",
    "ORCH_RATE_001": "SYSTEM.RATE_LIMITED",
    "ORCH_RATE_002": "SYSTEM.RATE_LIMITED",
    "ORCH_RATE_003": "SESSION.LIMIT_EXCEEDED",
    "ORCH_RATE_004": "SYSTEM.RATE_LIMITED",
    "ORCH_VAL_001": "SYSTEM.INVALID_MESSAGE",
    "ORCH_VAL_002": "SYSTEM.INVALID_MESSAGE",
    "ORCH_VAL_003": "SYSTEM.INVALID_MESSAGE",
    "ORCH_VAL_005": "CHAT.MESSAGE_TOO_LARGE",
    "ORCH_VAL_006": "SYSTEM.INVALID_MESSAGE",
    "ORCH_CONN_001": "SYSTEM.SERVICE_UNAVAILABLE",
    "ORCH_CONN_003": "SYSTEM.SERVICE_UNAVAILABLE",
    "ORCH_SYS_002": "SYSTEM.SERVICE_UNAVAILABLE",
    "ORCH_TENANT_001": "SYSTEM.SERVICE_UNAVAILABLE",
    "ORCH_TENANT_002": "SYSTEM.SERVICE_UNAVAILABLE",
    "ORCH_SESS_001": "SESSION.EXPIRED",
}
"""By the service's own code, wherever the failure arose."""

BY_DOMAIN: Final[dict[str, dict[str, str]]] = {
    "session": {"ORCH_NOTF_001": "SESSION.NOT_FOUND"},
    "chat": {
        "ORCH_CONN_002": "CHAT.PROCESSING_FAILED",
        "ORCH_EXEC_001": "CHAT.PROCESSING_FAILED",
        "ORCH_EXEC_002": "CHAT.PROCESSING_FAILED",
        "ORCH_EXEC_003": "CHAT.PROCESSING_FAILED",
        "ORCH_SYS_001": "CHAT.PROCESSING_FAILED",
    },
    "workflow": {
        "ORCH_SESS_002": "WORKFLOW.INVALID_OPERATION",
        "ORCH_VAL_002": "WORKFLOW.INVALID_OPERATION",
        "ORCH_CONN_002": "WORKFLOW.EXECUTION_FAILED",
        "ORCH_EXEC_001": "WORKFLOW.TIMEOUT",
        "ORCH_EXEC_002": "WORKFLOW.TIMEOUT",
        "ORCH_EXEC_003": "WORKFLOW.TIMEOUT",
    },
}
"""By the domain in which the failure arose, and the service's own code; it goes before `CODES`."""


def frontend_code(code: str, domain: str) -> str:
    """Return the guide's code for one of the service's own; a code that has no counterpart stays as it is.

    Args:
        code: such as `ORCH_VAL_001`.
        domain: of the route, frame or task that failed, such as `chat`.
    """
    return BY_DOMAIN.get(domain, {}).get(code) or CODES.get(code, code)


_POLICY: Final = ("CONTENT_POLICY", "POLICY_VIOLATION", "CONTENT_FILTER")
"""What codes of Agent Execution have in them where it refuses a content."""
_SUGGESTIONS: Final[dict[int, str]] = {
    400: "Correct the field that is named, and send it again.",
    401: "Sign in again, and use the new token.",
    403: "Ask for the permission that is named.",
    404: "Look at the id; create what is missing.",
    409: "Look how it stands, and decide anew.",
    410: "Create a new one.",
    413: "Send less at once.",
    422: "Correct the field that is named, and send it again.",
    429: "Wait before the next request.",
}
"""What a client may do, by HTTP status; of the others it depends on whether a later try may succeed."""
_LATER: Final = "Try again later."
_NEVER: Final = "Look at the reason: the same would fail again."


@frozen
class FailureDetails:
    """Where a failure is, why, and what may help."""

    field: str
    reason: str
    suggestion: str


@frozen
class FrontendFailure:
    """A failure, as the guide for frontends has it."""

    code: Annotated[str, Meta(description="Such as `SESSION.NOT_FOUND`; one of `ORCH_…` where the guide has none.")]
    message: str
    details: FailureDetails
    request_id: Annotated[str, Meta(description="The request or frame that failed.")]
    transaction_id: Annotated[str, Meta(description="The correlation id.")]


def frontend_failure(error: OrchestratorError, domain: str, *, request_id: str, transaction_id: str) -> FrontendFailure:
    """Return a failure in the guide's form.

    Args:
        error: what failed.
        domain: of the route, frame or task that failed, such as `chat`.
        request_id: of the request or frame.
        transaction_id: the correlation id.
    """
    fault = error.details[0] if error.details else None
    suggestion = _SUGGESTIONS.get(error.status, _LATER if error.retryable else _NEVER)
    details = FailureDetails(fault.path if fault else "", fault.message if fault else error.message, suggestion)
    return FrontendFailure(code_of(error, domain), error.message, details, request_id, transaction_id)


def code_of(error: OrchestratorError, domain: str) -> str:
    """Return the guide's code for a failure; see `frontend_code`."""
    if isinstance(error, TokenExpired):
        return "SYSTEM.AUTH_EXPIRED"
    if error.code == BadGateway.code and any(
        word in fault.message.upper() for fault in error.details for word in _POLICY
    ):
        return "CHAT.CONTENT_POLICY_VIOLATION"
    return frontend_code(error.code, domain)
