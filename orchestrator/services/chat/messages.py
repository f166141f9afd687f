"""Chat: messages in, answers out."""

import hashlib
from contextlib import suppress
from typing import Final

import trio
from attrs import evolve, frozen

from orchestrator.codec import decode_kept, encode, structure_kept, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.task_states import FINISHED, lane_of
from orchestrator.errors import (
    NotFound,
    OrchestratorError,
    SessionBusy,
    Unprocessable,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.events.events import ChatStatusUpdate, ToolResult
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatAnswer,
    ChatCancel,
    ChatCancelled,
    ChatTurn,
    IfBusy,
    MessageStatus,
)
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Task, TaskMessage, TaskStatus
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.chat.turn_task import CHAT_TURN
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.views import (
    admission_refused,
    rate_state,
    session_closed,
    session_not_found,
    state_body,
    status_template,
    viewer_of,
)
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.store.events.event_hub import EventHub, HubStopped
from orchestrator.store.events.frames import make_body
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tasks.admission import Admission, AdmissionBounds, AdmissionStore, Verdict
from orchestrator.store.tasks.tasks import TaskStore
from orchestrator.stored_errors import revive
from orchestrator.telemetry.tracing.work import admits, name_task

_STANDING: Final = {
    TaskStatus.PENDING: MessageStatus.QUEUED,
    TaskStatus.COMPLETED: MessageStatus.COMPLETED,
    TaskStatus.FAILED: MessageStatus.FAILED,
    TaskStatus.CANCELLED: MessageStatus.CANCELLED,
}


@frozen
class Admitted:
    """A message that was taken."""

    accepted: ChatAccepted
    replayed: bool
    """Whether an earlier request with the same idempotency key had brought it."""
    rate: RateState | None


@frozen
class ChatService:
    """Takes messages, and shows what became of them."""

    admission: AdmissionStore
    tasks: TaskStore
    task_service: TaskService
    sessions: SessionManager
    ready: ReadyTenants
    due: DueTenants
    hub: EventHub
    transcripts: Transcripts
    settings: AgentOrchestratorSettings
    rates: Rates

    @admits
    async def send(
        self, ctx: RequestContext, session_id: str, turn: ChatTurn, *, deduplication_key: str | None = None
    ) -> Admitted:
        """Take a message into a session's queue.

        Args:
            ctx: the request.
            session_id: the session.
            turn: the message.
            deduplication_key: while a task of the tenant with the same one is not finished, it is the answer.

        Raises:
            NotFound, SessionClosed, SessionBusy, QueueFull, RateLimited, TenantDraining, IdempotencyKeyReused
            Unprocessable: `scheduled_for` is past, too far ahead, or does not go with `if_busy`.
        """
        scheduled_ms = None if turn.scheduled_for is None else from_timestamp(turn.scheduled_for)
        if scheduled_ms is not None and turn.if_busy is not IfBusy.ENQUEUE:
            raise _wrong_moment("goes with 'if_busy': 'enqueue' alone")
        message = self._message(ctx, session_id, turn, deduplication_key)
        name_task(message.task_id, str(message.type), message.session_id)
        message_id = str(message.metadata.message_id)
        accepted = ChatAccepted(message.task_id, message_id, session_id)
        tenant_id, correlation_id = ctx.tenant_id, ctx.correlation_id
        queued = ChatStatusUpdate(message_id, message.task_id, MessageStatus.QUEUED, content=turn.content)
        expected = scheduled_ms is None and self.ready.expect(tenant_id)
        # A request whose ids the service has made itself can't come again.
        repeatable = ctx.idempotency_key or ctx.message_id
        admission = await self.admission.admit_turn(
            viewer_of(ctx),
            message,
            lane=lane_of(message.priority),
            if_busy=turn.if_busy,
            idempotency_key=ctx.idempotency_key or message_id,
            digest=hashlib.sha256(session_id.encode() + encode(turn)).hexdigest() if repeatable else "",
            answer=encode(accepted),
            queued_body=make_body("chat.status_update", queued, tenant_id=tenant_id, correlation_id=correlation_id),
            state_body=state_body(tenant_id, session_id, SessionState.PROCESSING, correlation_id, message.task_id),
            interrupted_template=status_template(tenant_id, MessageStatus.INTERRUPTED, correlation_id),
            rates=self.rates,
            bounds=AdmissionBounds(
                self.settings.session_queue_length,
                int(self.settings.retain_tasks),
                round(self.settings.queue_timeout * 1000),
            ),
            scheduled_ms=scheduled_ms,
        )
        if admission.verdict is Verdict.REPLAYED:
            return Admitted(decode_kept(admission.detail, ChatAccepted), replayed=True, rate=None)
        if admission.verdict is not Verdict.OK:
            raise _refusal(admission, session_id)
        if scheduled_ms is not None:
            await self.due.mark(tenant_id, scheduled_ms)
        if admission.turns_before == 0:
            await self.ready.mark(tenant_id, expected=expected)
        accepted = evolve(accepted, queue_position=admission.turns_before)
        return Admitted(accepted, replayed=False, rate=rate_state(self.rates, admission))

    def _message(
        self, ctx: RequestContext, session_id: str, turn: ChatTurn, deduplication_key: str | None
    ) -> TaskMessage:
        message_id = ctx.message_id or new_id()
        payload = {
            "message_id": message_id,
            "content": turn.content,
            "content_type": turn.content_type,
            "attachments": unstructure(turn.attachments),
            "metadata": turn.metadata,
        }
        return new_task(
            ctx,
            CHAT_TURN,
            payload,
            priority=ctx.priority,
            timeout_ms=int(self.settings.turn_timeout * 1000),
            session_id=session_id,
            message_id=message_id,
            deduplication_key=deduplication_key,
        )

    async def wait(self, ctx: RequestContext, accepted: ChatAccepted, timeout_ms: int) -> ChatAnswer | ChatAccepted:
        """Wait for the answer of a message that was taken.

        Returns:
            The answer; or what was accepted: unchanged if there is no answer in time, or if the process stops and
            others go on with the turn; and with the status `cancelled` if there will be none.

        Raises:
            OrchestratorError: the turn failed; the error is the turn's.
        """
        with trio.move_on_after(timeout_ms / 1000), suppress(HubStopped):
            return _outcome(await self._finished(ctx, accepted), accepted)
        return accepted

    async def standing(self, ctx: RequestContext, accepted: ChatAccepted) -> MessageStatus:
        """Return how far a message that was taken has come by now.

        Raises:
            NotFound: its task is gone.
        """
        task = await self.task_service.get(ctx, accepted.task_id)
        return _STANDING.get(task.status, MessageStatus.PROCESSING)

    async def _finished(self, ctx: RequestContext, accepted: ChatAccepted) -> Task:
        ends = {"chat.completed", "chat.status_update"}
        async with self.hub.follow(ctx.tenant_id, accepted.session_id) as follower:
            while True:
                # The record is asked after following has begun, so an end in between is not missed.
                task = await self.task_service.get(ctx, accepted.task_id)
                if task.status in FINISHED:
                    return task
                await follower.until(ends)

    async def cancel(self, ctx: RequestContext, message_id: str, request: ChatCancel | None = None) -> ChatCancelled:
        """Stop the turn of a message; one that has ended stays as it is.

        Raises:
            NotFound
            Unprocessable: the request names another message, or a session that the message is not of.
        """
        request = request or ChatCancel()
        if request.message_id not in {None, message_id}:
            raise _contradiction("message_id", "is not the message of the path")
        session, task_id = await self.transcripts.place_of(ctx, message_id)
        if request.session_id not in {None, session.session_id}:
            raise _contradiction("session_id", "is not the session of the message")
        cancelled = await self.task_service.cancel(ctx, task_id, reason=request.reason)
        return ChatCancelled(message_id, cancelled.cancelled, session.session_id)

    async def tool_result(self, ctx: RequestContext, session_id: str, result: ToolResult) -> None:
        """Take the result of a tool that the client ran.

        Raises:
            NotFound: no turn of the session waits for this tool call; late or unknown.
        """
        await self.sessions.get(ctx, session_id)
        body = make_body("tool.result", result, tenant_id=ctx.tenant_id, correlation_id=ctx.correlation_id)
        answer = CallAnswer(AnswerStatus.COMPLETED, unstructure(result.result))
        taken = await self.tasks.answer_tool(
            ctx.tenant_id, session_id, result.tool_call_id, answer, ("tool.result", body)
        )
        if not taken:
            raise NotFound(f"No turn waits for the tool call {result.tool_call_id}: it is unknown, or late.")
        await self.ready.mark(ctx.tenant_id)


def _contradiction(name: str, message: str) -> Unprocessable:
    path = f"$.data.{name}"
    return Unprocessable(f"{path} {message}.", details=[FieldFault(path, message)])


def _wrong_moment(reason: str) -> Unprocessable:
    return Unprocessable(f"The moment of the message {reason}.", details=[FieldFault("$.data.scheduled_for", reason)])


def _refusal(admission: Admission, session_id: str) -> OrchestratorError:
    match admission.verdict:
        case Verdict.UNKNOWN:
            return session_not_found(session_id)
        case Verdict.CLOSED:
            return session_closed(session_id, admission.detail)
        case Verdict.MOMENT:
            return _wrong_moment("must be in the future, and within a year")
        case Verdict.BUSY:
            return SessionBusy("The session is processing another message.", retry_after_ms=1000)
    return admission_refused(admission)


def _outcome(task: Task, accepted: ChatAccepted) -> ChatAnswer | ChatAccepted:
    if task.error is not None:
        raise revive(task.error)
    if task.status is TaskStatus.COMPLETED and task.result is not None:
        return evolve(structure_kept(task.result, ChatAnswer), thinking=None)
    return evolve(accepted, status=MessageStatus.CANCELLED)
