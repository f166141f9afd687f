"""What the audit trail is told of credentials: refusals of those who may not, and uses of API keys."""

from typing import Final

import structlog
import trio

from orchestrator.errors import (
    NotFound,
    OrchestratorError,
    PermissionMissing,
    ServiceFault,
    TenantNotGranted,
    Unauthorized,
)
from orchestrator.store.operations.audit import AuditTrail

AUDITED: Final = (Unauthorized, TenantNotGranted, PermissionMissing)
"""The refusals that the audit trail is told of."""
FOREIGN: Final = (TenantNotGranted, NotFound)
"""What a frame is refused with that names another tenant, or what is not there or another's."""
_SECONDS: Final = 1.0
"""How long an answer waits for the audit trail to take a refusal."""
_log = structlog.get_logger("orchestrator.middleware.refusal_audit")


async def record_refusal(
    trail: AuditTrail,
    error: OrchestratorError,
    *,
    door: str,
    tenant_id: str,
    remote_address: str,
    correlation_id: str,
    user_id: str = "",
    frame: bool = False,
) -> None:
    """Record a refusal; where the trail is away, the log has it, and the answer is the same.

    Args:
        trail: where to.
        error: the refusal.
        door: what was asked for: a route's name, or which socket.
        tenant_id: whose route it was; empty: unknown.
        remote_address: who was refused.
        correlation_id: of the request.
        user_id: the same; empty: unknown.
        frame: whether a frame of an open socket was refused, which may name another tenant or another's work.
    """
    action = "auth.failed" if isinstance(error, Unauthorized) else "auth.refused"
    if frame and isinstance(error, FOREIGN):
        action = "frame.foreign"
    with trio.move_on_after(_SECONDS) as waiting:
        try:
            await trail.record(
                action,
                outcome="refused",
                tenant_id=tenant_id,
                user_id=user_id,
                remote_address=remote_address,
                correlation_id=correlation_id,
                detail=f"{door}: {error.code} {error.message}",
            )
        except ServiceFault as fault:
            _log.warning("audit.lost", action=action, door=door, reason=fault.message)
    if waiting.cancelled_caught:
        _log.warning("audit.lost", action=action, door=door, reason="it took too long")


async def record_key_use(trail: AuditTrail, *, name: str, door: str, remote_address: str, correlation_id: str) -> None:
    """Record that an API key was good for something; repetitions are counted.

    Args:
        trail: where to.
        name: of the key.
        door: what it opened: a route's name, or which socket.
        remote_address: where it was used.
        correlation_id: of the request.
    """
    await trail.record(
        "key.use",
        outcome="ok",
        user_id=name,
        remote_address=remote_address,
        correlation_id=correlation_id,
        detail=door,
    )
