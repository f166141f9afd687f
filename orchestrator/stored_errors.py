"""Errors that were stored, as exceptions again."""

from orchestrator.errors import InternalFault, OrchestratorError
from orchestrator.models.common.envelope import ErrorBody


def revive(body: ErrorBody) -> OrchestratorError:
    """Make a stored error an exception again, of the class that its code and its word on retries name."""
    kind = _BY_CODE.get((body.code, body.retryable)) or _BY_CODE.get((body.code, not body.retryable), InternalFault)
    return kind(body.message, details=body.details, retry_after_ms=body.retry_after_ms, service=body.service)


def _kinds(kind: type[OrchestratorError]) -> dict[tuple[str, bool], type[OrchestratorError]]:
    found = {(kind.code, kind.retryable): kind}
    for narrower in kind.__subclasses__():
        found = _kinds(narrower) | found
    return found


_BY_CODE: dict[tuple[str, bool], type[OrchestratorError]] = _kinds(OrchestratorError)
