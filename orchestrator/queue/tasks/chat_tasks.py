"""Chat turns: from the claimed task to its end in the store, whichever end that is."""

from functools import partial
from typing import Final

from attrs import evolve, frozen

from orchestrator.codec import encode
from orchestrator.errors import InternalFault, OrchestratorError, TaskExpired
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import ChatStatusUpdate, ToolExecute, Trouble
from orchestrator.models.sessions.chat import ChatAnswer, HistoryMessage, MessageStatus, Speaker
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.task import CancelledBy, TaskMessage, TaskStatus
from orchestrator.queue.attempts.attempt import TurnAttempt, outlast, seconds_since
from orchestrator.queue.attempts.dead_lettering import dead_letter
from orchestrator.queue.attempts.failures import log_end
from orchestrator.queue.attempts.lifecycle import carry, lost_too_often, outcome_of, read_or_dead_letter
from orchestrator.queue.attempts.retries import start_over
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.attempts.waiting import put_aside
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.queue.worker.expiry import expired
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.chat.turn_task import CHAT_TURN
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnRunner, TurnWaiting
from orchestrator.services.shared.views import state_body
from orchestrator.services.tasks.tasks import retention_of
from orchestrator.store.events.frames import make_body
from orchestrator.store.plans.ownership import Registered
from orchestrator.store.tasks.tasks import TaskEnding
from orchestrator.telemetry.tracing.calls import spent_by_agent


@frozen
class ChatTasks:
    """Runs chat turns.

    Args:
        services: what the queue works with.
        turns: what a turn consists of.
    """

    services: QueueServices
    turns: TurnRunner

    async def __call__(self, running: RunningTask) -> None:
        """Run a claimed turn to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        session = running.claim.session
        message = await read_or_dead_letter(self.services, running)
        if message is None:
            return
        if session is None:
            await dead_letter(self.services, running, InternalFault("The session of the task is gone."))
            return
        run = TurnAttempt(self.services, running, message, session)
        said = Partial()
        await carry(self.services, running, partial(self._attempt, run, said), partial(self._cancel, run, said))

    async def _attempt(self, run: TurnAttempt, said: Partial) -> None:
        """Do the turn, and end it."""
        outcome: TurnDone | TurnWaiting | OrchestratorError | None = self._refusal(run)
        if outcome is None:
            outcome = await outcome_of(partial(self.turns.run, run, said), "turn", run.message.task_id)
        if isinstance(outcome, TurnDone):
            usage = outcome.answer.usage
            run.running.tokens = usage.total_tokens
            spent_by_agent(run.session.agent_id, usage.prompt_tokens, usage.completion_tokens)
            await self._finish(run, self._done(run, outcome))
        elif isinstance(outcome, TurnWaiting):
            await self._park(run, outcome)
        elif not await start_over(self.services, run, outcome):
            await self._finish(run, self._failed(run, outcome))

    def _refusal(self, run: TurnAttempt) -> OrchestratorError | None:
        if run.running.claim.expired:
            return expired()
        return lost_too_often(self.services, run.running.claim, "turn")

    async def _finish(self, run: TurnAttempt, ending: TaskEnding) -> None:
        services = self.services
        retention = retention_of(services.settings)
        if ending.conversation_id not in {"", run.session.session_id}:
            await outlast(lambda: self._register(run.session, ending.conversation_id))
        more = await outlast(
            lambda: services.tasks.finish(run.running.claim, run.session.session_id, ending, retention)
        )
        waited = seconds_since(run.message.created_at)
        services.metrics.message_processed(run.message.tenant_id, ending.status, waited)
        log_end(run.running.claim, ending.status, ending.error)
        if more:
            await outlast(lambda: services.ready.mark(run.message.tenant_id))

    async def _register(self, session: Session, conversation_id: str) -> None:
        """Have a conversation that the service has named known as that of the session's user."""
        await self.services.ownership.register(
            session.tenant_id,
            Registered.CONVERSATION,
            conversation_id,
            session.user_id,
            int(self.services.settings.retain_sessions),
        )

    async def _park(self, run: TurnAttempt, waiting: TurnWaiting) -> None:
        message = run.message
        requests = {}
        for wait in waiting.waits:
            if wait.request is not None:
                data = ToolExecute(
                    tool_call_id=wait.call_id,
                    parent_message_id=str(message.metadata.message_id),
                    timeout_ms=wait.timeout_ms,
                    **wait.request,
                )
                body = make_body(
                    "tool.execute", data, tenant_id=message.tenant_id, correlation_id=message.correlation_id
                )
                requests[wait.call_id] = ("tool.execute", body)
        await put_aside(self.services, run.running.claim, run.session.session_id, waiting.waits, requests)

    async def _cancel(self, run: TurnAttempt, said: Partial) -> None:
        await self._finish(run, self._cancelled(run, said))

    def _done(self, run: TurnAttempt, done: TurnDone) -> TaskEnding:
        return self._ending(
            run,
            TaskStatus.COMPLETED,
            SessionState.ACTIVE,
            events=[
                ("chat.completed", evolve(done.answer, thinking=None)),
                self._status(run, MessageStatus.COMPLETED),
            ],
            answer=done.answer,
            conversation_id=done.conversation_id,
            agent_version=done.agent_version,
        )

    def _cancelled(self, run: TurnAttempt, said: Partial) -> TaskEnding:
        interrupted = run.running.reason is StopReason.INTERRUPTED
        status = MessageStatus.INTERRUPTED if interrupted else MessageStatus.CANCELLED
        return self._ending(
            run,
            TaskStatus.CANCELLED,
            SessionState.ACTIVE,
            events=[self._status(run, status, run.stopped_by)],
            answer=said.answer,
            answer_metadata={"interrupted": True},
            conversation_id=said.conversation_id,
        )

    def _failed(self, run: TurnAttempt, error: OrchestratorError) -> TaskEnding:
        body = error.body(run.message.correlation_id)
        trouble = Trouble(body, parent_id=run.message.metadata.message_id)
        return self._ending(
            run,
            TaskStatus.FAILED,
            SessionState.ERROR,
            events=[("system.error", trouble), self._status(run, MessageStatus.FAILED)],
            error=encode(body),
            dead_letter=True,
            keep_question=not isinstance(error, TaskExpired),
        )

    def _status(
        self, run: TurnAttempt, status: MessageStatus, by: CancelledBy | None = None
    ) -> tuple[str, ChatStatusUpdate]:
        message = run.message
        update = ChatStatusUpdate(str(message.metadata.message_id), message.task_id, status, cancelled_by=by)
        return "chat.status_update", update

    def _ending(
        self,
        run: TurnAttempt,
        status: TaskStatus,
        state: SessionState,
        *,
        events: list[tuple[str, object]],
        answer: ChatAnswer | None = None,
        answer_metadata: dict[str, object] | None = None,
        conversation_id: str | None = None,
        agent_version: str | None = None,
        error: bytes = b"",
        dead_letter: bool = False,
        keep_question: bool = True,
    ) -> TaskEnding:
        message = run.message
        tenant_id, correlation_id = message.tenant_id, message.correlation_id
        return TaskEnding(
            status=status,
            session_state=state,
            state_body=state_body(tenant_id, run.session.session_id, state, correlation_id),
            correlation_id=correlation_id,
            events=[
                (name, make_body(name, data, tenant_id=tenant_id, correlation_id=correlation_id))
                for name, data in events
            ],
            result=encode(answer) if answer else b"",
            error=error,
            history=_history(message, answer, answer_metadata or {}) if keep_question else [],
            conversation_id=conversation_id or "",
            agent_version=agent_version or "",
            answer_id=answer.message_id if answer else "",
            dead_letter=dead_letter,
        )


def _history(message: TaskMessage, answer: ChatAnswer | None, metadata: dict[str, object]) -> list[bytes]:
    """Return what the kept window of the conversation gains: the question, and the answer if there is one."""
    asked = HistoryMessage(
        message_id=str(message.metadata.message_id),
        role=Speaker.USER,
        content=message.payload["content"],
        created_at=message.created_at,
        content_type=message.payload["content_type"],
        metadata=message.payload["metadata"],
    )
    if answer is None:
        return [encode(asked)]
    said = HistoryMessage(
        message_id=answer.message_id,
        role=Speaker.ASSISTANT,
        content=answer.content,
        created_at=to_timestamp(now_ms()),
        content_type=answer.content_type,
        metadata=dict(metadata),
    )
    return [encode(asked), encode(said)]


def _handler(deps: TaskDeps) -> ChatTasks:
    core = deps.core
    return ChatTasks(deps.queue, ChatTurnRunner(core.clients, core.coordinator, core.catalog))


chat_turn: Final = RunnableKind(CHAT_TURN, _handler)
