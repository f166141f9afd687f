"""What the HTTP side and the sockets ask of services, as the real ones and the recorders both have it.

mypy holds the two against these protocols: a recorder can't go on with a call that its service no longer takes.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from orchestrator.models.agents.agent_views import AgentAssign
from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.events.events import Snapshot, ToolResult
from orchestrator.models.operations.revocation import TokenRevoke, TokenRevoked
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatAnswer,
    ChatCancel,
    ChatCancelled,
    ChatDeleted,
    ChatSummary,
    ChatTurn,
    HistoryMessage,
    MessageStatus,
)
from orchestrator.models.sessions.session import Session, SessionCreate, SessionTicket, SessionUpdate
from orchestrator.models.tasks.batch import Batch, BatchCancelled, BatchCreate, ItemResult
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.chat.messages import Admitted, ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.scheduling.batches import BatchFilter, BatchService
from orchestrator.services.sessions.session_lists import SessionFilter
from orchestrator.services.sessions.session_manager import CreatedSession, SessionManager
from orchestrator.services.sessions.tickets import Tickets
from orchestrator.services.shared.address_limits import AddressCounts, AddressLimits
from orchestrator.services.shared.paging import ALWAYS, Period
from orchestrator.services.shared.rate_limiter import ClassLimiter, RateLimiter
from orchestrator.services.shared.revocations import Revocations
from orchestrator.store.operations.audit import AuditTrail


class SessionPort(Protocol):
    """Sessions, as routes and sockets use them."""

    async def create(self, ctx: RequestContext, request: SessionCreate) -> CreatedSession: ...
    async def get(self, ctx: RequestContext, session_id: str) -> Session: ...
    async def list(
        self,
        ctx: RequestContext,
        wanted: SessionFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int = 20,
        offset: int | None = None,
    ) -> Page[Session]: ...
    async def update(self, ctx: RequestContext, session_id: str, request: SessionUpdate) -> Session: ...
    async def assign(self, ctx: RequestContext, session_id: str, request: AgentAssign) -> Session: ...
    async def pause(self, ctx: RequestContext, session_id: str) -> Session: ...
    async def resume(self, ctx: RequestContext, session_id: str) -> Session: ...
    async def connected(self, ctx: RequestContext, session_id: str) -> Session: ...
    async def close(self, ctx: RequestContext, session_id: str) -> Session: ...


class TicketPort(Protocol):
    """Tickets of sockets."""

    async def of_session(self, ctx: RequestContext, session_id: str) -> SessionTicket: ...
    async def issue(self, ctx: RequestContext, subject_id: str) -> SessionTicket: ...
    async def redeem(self, ticket: str, session_id: str | None) -> Principal: ...


class ChatPort(Protocol):
    """Turns of sessions."""

    async def send(
        self, ctx: RequestContext, session_id: str, turn: ChatTurn, *, deduplication_key: str | None = None
    ) -> Admitted: ...
    async def standing(self, ctx: RequestContext, accepted: ChatAccepted) -> MessageStatus: ...
    async def wait(self, ctx: RequestContext, accepted: ChatAccepted, timeout_ms: int) -> ChatAnswer | ChatAccepted: ...
    async def cancel(
        self, ctx: RequestContext, message_id: str, request: ChatCancel | None = None
    ) -> ChatCancelled: ...
    async def tool_result(self, ctx: RequestContext, session_id: str, result: ToolResult) -> None: ...


class TranscriptPort(Protocol):
    """What was said in sessions."""

    async def history(
        self,
        ctx: RequestContext,
        session_id: str,
        *,
        before: str | None,
        after: str | None,
        limit: int,
        period: Period = ALWAYS,
        offset: int | None = None,
    ) -> Page[HistoryMessage]: ...
    async def recent(self, tenant_id: str, session_id: str, limit: int) -> list[HistoryMessage]: ...
    async def snapshot(self, session: Session) -> tuple[Snapshot, frozenset[str]]: ...
    async def turn_begins(self, session: Session) -> int | None: ...
    async def summary(self, ctx: RequestContext, session_id: str) -> ChatSummary: ...
    async def delete(self, ctx: RequestContext, message_id: str) -> ChatDeleted: ...


class BatchPort(Protocol):
    """Batches."""

    async def create(self, ctx: RequestContext, request: BatchCreate) -> tuple[Batch, bool]: ...
    async def get(self, ctx: RequestContext, batch_id: str) -> Batch: ...
    async def list(
        self, ctx: RequestContext, wanted: BatchFilter | None = None, *, cursor: str | None = None, limit: int
    ) -> Page[Batch]: ...
    async def results(
        self,
        ctx: RequestContext,
        batch_id: str,
        *,
        status: TaskStatus | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page[ItemResult]: ...
    async def cancel(self, ctx: RequestContext, batch_id: str) -> BatchCancelled: ...


class RateLimiterPort(Protocol):
    """The limit of requests."""

    async def check(self, principal: Principal, cost: int = 1) -> RateState: ...


class AuditPort(Protocol):
    """The security trail."""

    async def record(
        self,
        action: str,
        *,
        outcome: str,
        tenant_id: str = "",
        user_id: str = "",
        remote_address: str = "",
        correlation_id: str = "",
        detail: str = "",
    ) -> None: ...


class ClassLimiterPort(Protocol):
    """The limits of classes of requests."""

    async def check(self, principal: Principal, rate_class: RateClass) -> RateState | None: ...


class AddressLimitsPort(Protocol):
    """What processes tell each other of addresses."""

    counts: AddressCounts | None

    async def failure(self, address: str, kept_seconds: float) -> int: ...


class RevocationPort(Protocol):
    """Revoked tokens."""

    renew_keys: Callable[[], Awaitable[None]] | None

    def covers(self, principal: Principal) -> bool: ...
    def consider(self, withdrawn: Callable[[Principal], bool]) -> None: ...
    def watch(self, told: Callable[[], None]) -> None: ...
    async def revoke(self, ctx: RequestContext, request: TokenRevoke) -> TokenRevoked: ...


if TYPE_CHECKING:

    def the_services_fit(
        sessions: SessionManager,
        tickets: Tickets,
        chat: ChatService,
        transcripts: Transcripts,
        batches: BatchService,
        rate_limiter: RateLimiter,
        audit: AuditTrail,
        revocations: Revocations,
        class_limiter: ClassLimiter,
        address_limits: AddressLimits,
    ) -> tuple[
        SessionPort,
        TicketPort,
        ChatPort,
        TranscriptPort,
        BatchPort,
        RateLimiterPort,
        AuditPort,
        RevocationPort,
        ClassLimiterPort,
        AddressLimitsPort,
    ]:
        """Checked by mypy, never run."""
        guards = rate_limiter, audit, revocations, class_limiter, address_limits
        return sessions, tickets, chat, transcripts, batches, *guards
