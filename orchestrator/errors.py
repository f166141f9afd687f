"""The tree of exceptions. Each knows its code, its type, its HTTP status and how a WebSocket closes on it.

Three branches say who is to blame: `ClientFault` (the request), `ServiceFault` (something the service depends on) and
`InternalFault` (this service itself). Codes and retry rules are those of `docs/reference/errors.md`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from orchestrator.models.common.envelope import ErrorBody, FieldFault


class OrchestratorError(Exception):
    """Anything that a client is told of.

    Args:
        message: one sentence that a person can act on; it holds no secret and no other tenant's data.
        details: the faults, each with its path.
        retry_after_ms: how long to wait before a retry, where that helps.
        service: where the error arose, if not here.
    """

    code: ClassVar[str] = "ORCH_SYS_001"
    type: ClassVar[str] = "service_error"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[FieldFault] = (),
        retry_after_ms: int | None = None,
        service: str = "agent_orchestrator",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)
        self.retry_after_ms = retry_after_ms
        self.service = service

    def body(self, correlation_id: str | None = None) -> ErrorBody:
        """Return the error object that is sent and stored."""
        return ErrorBody(
            code=self.code,
            type=self.type,
            message=self.message,
            details=self.details,
            retryable=self.retryable,
            retry_after_ms=self.retry_after_ms,
            service=self.service,
            correlation_id=correlation_id,
        )


class ClientFault(OrchestratorError):
    """The request can't be served as it stands."""

    code = "ORCH_VAL_001"
    type = "validation_error"
    status = 400
    close_code = 4400


class InvalidBody(ClientFault):
    """The body or a field of it is malformed."""


class InvalidParameter(ClientFault):
    """An identifier, cursor or parameter outside the body is malformed."""

    code = "ORCH_VAL_003"


class Unprocessable(ClientFault):
    """The body is well-formed, but contradicts itself or its route."""

    code, type, status = "ORCH_VAL_002", "unprocessable_content", 422


class IdempotencyKeyReused(ClientFault):
    """The same idempotency key came with another body."""

    code, type, status = "ORCH_VAL_004", "conflict", 409


class PayloadTooLarge(ClientFault):
    """The body is larger than the service takes."""

    code = "ORCH_VAL_005"
    type = "payload_too_large"
    status = 413
    close_code = 1009


class UnsupportedMediaType(ClientFault):
    """The body is not JSON."""

    code, type, status = "ORCH_VAL_006", "unsupported_media_type", 415


class Unauthorized(ClientFault):
    """The credentials are missing, wrong, expired or revoked."""

    code = "ORCH_AUTH_001"
    type = "unauthorized"
    status = 401
    close_code = 4003


class TokenExpired(Unauthorized):
    """The token was good once."""


class CredentialsMissing(Unauthorized):
    """There are no credentials at all."""

    close_code = 4001


class TenantNotGranted(ClientFault):
    """The token does not carry this tenant."""

    code, type, status = "ORCH_AUTH_002", "forbidden", 403
    close_code = 4003


class PermissionMissing(ClientFault):
    """The token does not carry this permission."""

    code, type, status = "ORCH_AUTH_003", "forbidden", 403
    close_code = 4003


class NotFound(ClientFault):
    """There is no such thing, or it belongs to another tenant or user: the two look the same from outside."""

    code, type, status = "ORCH_NOTF_001", "resource_not_found", 404
    close_code = 4004


class MethodNotAllowed(ClientFault):
    """The route is there, but not for this method."""

    code, type, status = "ORCH_VAL_003", "validation_error", 405


class NotOffered(ClientFault):
    """The platform's documents name the route, and nothing here needs it."""

    code, type, status = "ORCH_SYS_004", "not_implemented", 501


class SessionClosed(ClientFault):
    """The session has been closed or has expired."""

    code = "ORCH_SESS_001"
    type = "invalid_session"
    status = 410
    close_code = 1000


class TransitionRefused(ClientFault):
    """The session's state does not allow this."""

    code, type, status = "ORCH_SESS_002", "conflict", 409


class TaskUnfinished(ClientFault):
    """The task has not ended, so it can't be done again."""

    code, type, status = "ORCH_SESS_002", "conflict", 409


class WrongWorkflowState(ClientFault):
    """The workflow has ended, or does not wait for its user at this node."""

    code, type, status = "ORCH_SESS_002", "conflict", 409


class SessionBusy(ClientFault):
    """The session is processing another message, and the client asked not to wait."""

    code = "ORCH_SESS_003"
    type = "conflict"
    status = 409
    retryable = True


class RateLimited(ClientFault):
    """Too many requests."""

    code = "ORCH_RATE_001"
    type = "rate_limited"
    status = 429
    close_code = 4029
    retryable = True


class BudgetExhausted(RateLimited):
    """The token budget is spent."""

    code = "ORCH_RATE_002"


class TooManyConnections(RateLimited):
    """No more sockets are taken at the moment."""

    code = "ORCH_RATE_003"


class QueueFull(RateLimited):
    """The queue of the session is full, or a quota of the tenant is reached; `details` names it."""

    code = "ORCH_RATE_004"


class ServiceFault(OrchestratorError):
    """Something that the service depends on is away, slow or wrong."""

    code = "ORCH_CONN_001"
    type = "service_unavailable"
    status = 503
    close_code = 1013
    retryable = True


class ServiceUnreachable(ServiceFault):
    """No connection to a downstream service."""


class ConnectionBroken(ServiceUnreachable):
    """The connection to a downstream service broke after the call was sent."""


class ServiceNotSetUp(ServiceUnreachable):
    """There is no way to a downstream service: its setting is empty."""

    retryable = False


class BadGateway(ServiceFault):
    """A downstream service failed, or broke its answer off."""

    code, type, status = "ORCH_CONN_002", "bad_gateway", 502


class ReportedFailure(BadGateway):
    """An agent or a tool answered that it failed, and that a later try may succeed."""


class ServiceBusy(ServiceFault):
    """A downstream service answered, by a code of its own, that it takes no more calls for the moment."""

    code, type, status = "ORCH_CONN_002", "bad_gateway", 502


class CircuitOpen(ServiceFault):
    """A downstream service, or one agent or tool of it, has failed too often and is left alone for a while."""

    code = "ORCH_CONN_003"
    type = "circuit_open"


class TenantPaused(ServiceFault):
    """The tenant is paused."""

    code = "ORCH_TENANT_001"


class TenantDraining(ServiceFault):
    """The tenant is being drained and takes no new work."""

    code = "ORCH_TENANT_002"


class StoreUnavailable(ServiceFault):
    """Redis is away, or refuses to serve."""

    code = "ORCH_SYS_002"
    refusal: str | None = None
    """What Redis has said, in its own words, which name no address; None where it has said nothing."""

    @property
    def reason(self) -> str:
        """Why, for logs: what Redis has said where it has said something."""
        return self.message


class CallTimeout(ServiceFault):
    """A call to a downstream service ran out of time."""

    code, type, status = "ORCH_EXEC_001", "timeout", 504


class ReportedTimeout(CallTimeout):
    """A downstream service answered, by a code of its own, that its work ran out of time."""


class PlanTimeout(CallTimeout):
    """A task ran out of time."""

    code = "ORCH_EXEC_002"


class TaskExpired(CallTimeout):
    """A task's time was over before it started."""

    code, retryable = "ORCH_EXEC_003", False


class ServiceRefused(ServiceFault):
    """A downstream service refused a call for good; its own code is in `details`."""

    code, type, status = "ORCH_CONN_002", "bad_gateway", 502
    retryable = False


class ServiceFailed(ServiceRefused):
    """A downstream service failed (500), and the call is not safe to repeat."""


class InvalidAnswer(ServiceFault):
    """The answer of an agent, a tool or a service is wrong in itself; a repetition would be no better."""

    code, type, status = "ORCH_CONN_002", "bad_gateway", 502
    retryable = False


class InternalFault(OrchestratorError):
    """A fault of this service; what went wrong is in its logs, not in the answer."""


class TenantDamaged(InternalFault):
    """What Redis holds of it is damaged, and can't be read; `nooble-orch doctor` says more.

    A key, or a field of a record, is of the wrong type. Nearly every key belongs to one tenant, whose damage it is:
    what serves many tenants reports it, and goes on with the others (`isolate_tenant`). Clients are not told `reason`.
    """

    code, type, status, close_code = "ORCH_SYS_003", "conflict", 409, 1013

    def __init__(self, reason: str, **told: Any) -> None:
        super().__init__("What is kept of it is damaged, and can't be read; an operator can mend it.", **told)
        self.args, self.reason = (reason,), reason


class FencedOut(Exception):
    """Another worker has taken the task over: what this worker still writes is refused."""
