"""The log line of a task that has failed for good."""

import structlog

from orchestrator.codec import decode_kept
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.tasks.claims import Claim
from orchestrator.stored_errors import revive
from orchestrator.telemetry.tracing.work import fail_attempt

_log = structlog.get_logger()


def log_end(claim: Claim, status: TaskStatus, error: bytes) -> None:
    """Write a line where a task ends as failed: the fields of a failed request, with its type in the place of a path.

    Args:
        claim: the task.
        status: how it ends.
        error: the error as it is stored; empty: there is none.
    """
    if status is not TaskStatus.FAILED or not error:
        return
    fault = revive(decode_kept(error, ErrorBody))
    fail_attempt(fault.code)
    write = _log.error if fault.status >= 500 else _log.warning
    write(
        "task.failed",
        error_code=fault.code,
        http_status=fault.status,
        service_at_fault=fault.service,
        request_id="",
        stack_trace="",
        metadata={"request_path": claim.record.get(b"type", b"").decode(errors="replace"), "method": "TASK"},
    )
