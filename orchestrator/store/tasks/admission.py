"""Admission: a chat message becomes a task, or is refused; one script decides."""

from enum import StrEnum
from typing import Final

from attrs import frozen

from orchestrator.codec import encode
from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.models.sessions.chat import IfBusy
from orchestrator.models.tasks.task import Lane, TaskMessage
from orchestrator.store.contents import MESSAGE
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Rates, Viewer
from orchestrator.store.tenant_store import TenantStore, read_verdict

_ADMIT: Final = Script("admission/admit_turn")


class Verdict(StrEnum):
    """What admission decided."""

    OK = "ok"
    REPLAYED = "replayed"
    REUSED = "reused"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    TENANT = "tenant"
    RATE = "rate"
    FULL = "full"
    BUSY = "busy"
    MOMENT = "moment"


@frozen
class AdmissionBounds:
    """How many turns may wait in a session, and how long; how long records are kept, in seconds."""

    session_queue_length: int
    retain_tasks: int
    expire_ms: int = 0
    """How long a turn may wait to be started; 0: for ever."""


@frozen
class Admission:
    """The verdict, and what comes with it."""

    verdict: Verdict
    detail: str = ""
    """The stored answer, the state, the full queue, the active task, or the name of the rate limit (RATE)."""
    wait_ms: int = 0
    """How long to wait (RATE), or until the nearer rate limit is whole again (OK)."""
    turns_before: int | None = 0
    """None: the turn begins later."""
    window: int = 0
    """Requests in a window of the nearer rate limit (OK)."""
    left: int = 0
    """Of these."""


class AdmissionStore(TenantStore):
    """Admits turns."""

    async def admit_turn(
        self,
        viewer: Viewer,
        message: TaskMessage,
        *,
        lane: Lane,
        if_busy: IfBusy,
        idempotency_key: str,
        digest: str,
        answer: bytes,
        queued_body: bytes,
        state_body: bytes,
        interrupted_template: bytes,
        rates: Rates,
        bounds: AdmissionBounds,
        scheduled_ms: int | None = None,
    ) -> Admission:
        """Admit a turn of a session, all of it or nothing.

        Args:
            viewer: who sends the message.
            message: the task that the turn becomes; its `metadata.message_id` is the chat message's.
            lane: where it queues.
            if_busy: what to do if the session has an active turn.
            idempotency_key: a request with the same key and digest gets the same answer again.
            digest: of the request.
            answer: what to answer a repeated request, JSON.
            queued_body: body of `chat.status_update`; its queue position is filled in.
            state_body: body of `session.state_update` for PROCESSING.
            interrupted_template: body of `chat.status_update` for a turn that is interrupted before it ran.
            rates: rate limits.
            bounds: bounds of queues and records.
            scheduled_ms: the moment (ms) at which the turn begins; None: now.
        """
        tenant_id, session_id = message.tenant_id, message.session_id
        reply = await self.run(
            _ADMIT,
            tenant_id,
            session_id,
            message.task_id,
            message.metadata.message_id,
            viewer.user_id,
            viewer.flag,
            digest,
            answer,
            self.contents.seal(tenant_id, MESSAGE, encode(message)),
            lane,
            message.priority,
            str(message.type),
            if_busy,
            message.correlation_id,
            self.contents.seal_queued(tenant_id, queued_body),
            state_body,
            bounds.session_queue_length,
            self.limit_defaults["queue_length"],
            rates.tenant,
            rates.user,
            rates.burst_seconds,
            IDEMPOTENCY_SECONDS,
            bounds.retain_tasks,
            interrupted_template,
            bounds.expire_ms or "",
            "" if scheduled_ms is None else scheduled_ms,
            "1" if message.metadata.deduplication_key else "0",
            self.limit_defaults["bytes"],
            keys=[
                self.keys.idempotency(tenant_id, viewer.user_id, idempotency_key),
                self.keys.tenant_limit(tenant_id),
                self.keys.user_limit(tenant_id, viewer.user_id),
                self.keys.deduplication(tenant_id, message.metadata.deduplication_key or ""),
            ],
        )
        verdict = Verdict(reply[0].decode())
        if verdict is Verdict.OK:
            before, wait_ms, _, window, left = reply[1:]
            return Admission(verdict, "", wait_ms, None if before < 0 else before, window, left)
        if verdict is Verdict.RATE:
            return Admission(verdict, reply[2].decode(), wait_ms=reply[1])
        return Admission(*read_verdict(Verdict, reply))
