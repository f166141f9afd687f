"""What services share: who looks, how admission refusals are told, and the bodies of events about turns."""

from orchestrator.codec import unstructure
from orchestrator.errors import (
    ClientFault,
    IdempotencyKeyReused,
    NotFound,
    OrchestratorError,
    QueueFull,
    RateLimited,
    SessionClosed,
    TenantDraining,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import ChatStatusUpdate, StateUpdate
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import CancelledBy
from orchestrator.store.events.frames import make_body
from orchestrator.store.sessions.sessions import Rates, Viewer
from orchestrator.store.sessions.verdicts import SessionCreation
from orchestrator.store.tasks.admission import Admission, Verdict


def viewer_of(ctx: RequestContext) -> Viewer:
    """Return who looks."""
    principal = ctx.principal
    return Viewer(principal.tenant_id, principal.user_id, principal.sees_whole_tenant)


def session_not_found(session_id: str) -> ClientFault:
    """Say that a session is unknown, or another user's: the two look the same."""
    return NotFound(f"There is no session {session_id}.")


def session_closed(session_id: str, state: str) -> ClientFault:
    """Say that a session takes nothing more."""
    return SessionClosed(f"Session {session_id} is closed ({state}); create a new one.")


def key_reused() -> ClientFault:
    """Say that an idempotency key or message id came before with something else."""
    return IdempotencyKeyReused("This idempotency key or message id was used for another request; make a new one.")


def tenant_refuses(state: str) -> TenantDraining:
    """Say that a tenant takes no new work."""
    return TenantDraining(f"The tenant is {state} and takes no new work at the moment.", retry_after_ms=30_000)


def rate_limited(wait_ms: int, limit: str) -> RateLimited:
    """Say that requests come too fast, and for which limit."""
    says = "Too many requests; wait before the next one."
    details = [FieldFault(limit, "this limit is reached")]
    return RateLimited(says, details=details, retry_after_ms=max(1, wait_ms))


def quota_reached(name: str) -> QueueFull:
    """Say that a tenant has as much of something as it may have."""
    if name == "session":
        return QueueFull("The queue of the session is full; wait for answers.", retry_after_ms=1000)
    says = f"The tenant has as much as its quota '{name}' allows; end, close or delete some, or have the quota raised."
    return QueueFull(says, details=[FieldFault(name, "this quota of the tenant is reached")], retry_after_ms=1000)


def admission_refused(admission: Admission) -> OrchestratorError:
    """Say why a task was not taken, as far as the reason is the same for tasks of all kinds."""
    match admission.verdict:
        case Verdict.REUSED:
            return key_reused()
        case Verdict.TENANT:
            return tenant_refuses(admission.detail)
        case Verdict.RATE:
            return rate_limited(admission.wait_ms, admission.detail)
        case Verdict.FULL:
            return quota_reached(admission.detail)
    raise AssertionError(f"unexpected verdict {admission.verdict}")


def rate_state(rates: Rates, admission: Admission | SessionCreation) -> RateState:
    """Describe where a client stands in the limit that is nearer to be reached."""
    return RateState(admission.window, admission.left, admission.wait_ms / 1000, rates.burst_seconds)


def state_body(
    tenant_id: str, session_id: str, state: SessionState, correlation_id: str, active_task_id: str | None = None
) -> bytes:
    """Encode `session.state_update`."""
    data = StateUpdate(session_id, state, state.code, active_task_id=active_task_id)
    return make_body("session.state_update", data, tenant_id=tenant_id, correlation_id=correlation_id)


def agent_body(tenant_id: str, session_id: str, agent_id: str, version: str | None, correlation_id: str) -> bytes:
    """Encode `session.state_update` for another agent, with `@state` and `@code` for a script to fill in."""
    state = SessionState.ACTIVE
    told = StateUpdate(session_id, state, state.code, agent_id=agent_id, agent_version=version)
    data = unstructure(told) | {"state": "@state", "state_code": "@code"}
    return make_body("session.state_update", data, tenant_id=tenant_id, correlation_id=correlation_id)


def status_template(
    tenant_id: str, status: MessageStatus, correlation_id: str, *, by: CancelledBy | None = None
) -> bytes:
    """Encode `chat.status_update` with `@message` and `@task` for a script to fill in.

    Args:
        tenant_id: whose turn.
        status: what has become of it.
        correlation_id: the request that it belongs to.
        by: who has stopped it; None: it was not stopped, or the script finds out.
    """
    data = ChatStatusUpdate("@message", "@task", status, cancelled_by=by)
    return make_body("chat.status_update", data, tenant_id=tenant_id, correlation_id=correlation_id)
