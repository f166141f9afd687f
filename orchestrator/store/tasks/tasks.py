"""Tasks in Redis: claiming, fenced writing, ending, taking over."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import field, frozen

from orchestrator.codec import encode
from orchestrator.errors import CallTimeout
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Taken, Wait
from orchestrator.store.contents import CHECKPOINT, ERROR, EVENT, HISTORY, RESULT, TEXT, WORDS
from orchestrator.store.events.events import EventLog, TaskLog
from orchestrator.store.records import moment
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.claims import Claim, ClaimBatch, held, read_claims
from orchestrator.store.tasks.task_leases import TaskLeases

_CLAIM: Final = Script("attempts/claim")
_EMIT: Final = Script("attempts/emit")
_CHECKPOINT: Final = Script("attempts/checkpoint")
_FINISH: Final = Script("attempts/finish")
_PARK: Final = Script("attempts/wait")
_ANSWER: Final = Script("attempts/answer_call")
_RETRY: Final = Script("attempts/retry")
_EXPIRE: Final = Script("attempts/expire")
_HAND_BACK: Final = Script("attempts/hand_back")
_RELEASE_DUE: Final = Script("attempts/release_due")
_CANCEL: Final = Script("attempts/cancel_task")

_CLIENT_LATE: Final = encode(
    CallAnswer(AnswerStatus.FAILED, error=CallTimeout("The client did not answer in time.").body())
)
_SERVICE_LATE: Final = encode(
    CallAnswer(AnswerStatus.FAILED, error=CallTimeout("The service did not answer in time.").body())
)


class TaskCancelVerdict(StrEnum):
    """What `cancel` decided."""

    DONE = "done"
    ASKED = "asked"
    """The task runs: its worker is asked to stop it."""
    ENDED = "ended"
    """It had ended before."""
    UNKNOWN = "unknown"


@frozen
class TaskEnding:
    """How a task ends, and what is told of it."""

    status: TaskStatus
    session_state: str
    state_body: bytes
    correlation_id: str
    events: Sequence[tuple[str, bytes]] = ()
    """Name and body of each."""
    result: bytes = b""
    error: bytes = b""
    history: Sequence[bytes] = ()
    """Messages to keep, JSON each."""
    conversation_id: str = ""
    agent_version: str = ""
    answer_id: str = ""
    dead_letter: bool = False


OFFSETS_NOTED: Final = 10_000
"""Logs whose last offset is remembered."""


@frozen
class Retry:
    """How a failed task starts over."""

    delay_ms: int
    time_left_ms: int
    """What is left of the task's time when it does."""
    error: bytes
    """JSON: why it failed."""
    body: bytes
    """Of the event that tells it; empty: nothing is told."""
    event: str = "chat.status_update"


@frozen
class Expiry:
    """What is told of a turn whose time was over; `@session`, `@task`, `@message` and `@correlation` are filled in."""

    error: bytes
    trouble_body: bytes
    status_body: bytes
    state_body: bytes


@frozen
class Retention:
    """How long and how much is kept."""

    task_seconds: int
    pause_after_ms: int
    history_length: int
    history_seconds: int


@frozen
class TaskStore(TaskLeases):
    """The tasks of tenants, with their records."""

    _offsets: OrderedDict[tuple[str, str], int] = field(factory=OrderedDict, init=False)
    """The last offset that was given here in each of the last logs."""

    async def claim(self, tenant_id: str, node: str, count: int) -> ClaimBatch:
        """Claim up to `count` tasks for `node`."""
        reply = await self.run(_CLAIM, tenant_id, node, count, keys=[self.keys.start_limit(tenant_id)])
        more, wait_ms, read, *rows = reply
        claims, external_entries = read_claims(self.contents, tenant_id, rows)
        return ClaimBatch(claims, bool(more), read, wait_ms, external_entries)

    async def emit(self, claim: Claim, session_id: str, number: int, name: str, body: bytes, text: str = "") -> int:
        """Append an event to the session's log, or to the task's own where `session_id` is empty; returns its offset.

        `number` counts the events of the attempt (1, 2, 3…): an event that is sent again after Redis was away is not
        appended twice. `text` is what the event adds to the answer that is being streamed.

        Raises:
            FencedOut: the task has been taken over.
        """
        offset = held(
            await self.run(
                _EMIT,
                claim.tenant_id,
                claim.task_id,
                claim.attempt,
                session_id,
                name,
                self.contents.seal(claim.tenant_id, EVENT, body),
                number,
                self.contents.seal(claim.tenant_id, TEXT, text),
            )
        )
        if offset:
            await self._note_offset(claim, session_id, offset)
        return offset

    async def _note_offset(self, claim: Claim, session_id: str, offset: int) -> None:
        """Notice an offset that comes again: the log has lost its tail, as after a failover."""
        log: EventLog = (EventLog if session_id else TaskLog)(self.redis, self.keys, self.contents)
        owner_id = session_id or claim.task_id
        last = self._offsets.pop((claim.tenant_id, owner_id), 0)
        self._offsets[claim.tenant_id, owner_id] = offset
        if len(self._offsets) > OFFSETS_NOTED:
            self._offsets.popitem(last=False)
        if offset <= last:
            await log.renew_epoch(claim.tenant_id, owner_id, last)

    async def checkpoint(self, claim: Claim, name: str, result: Any) -> None:
        """Keep the result of the step `name`.

        Raises:
            FencedOut: the task has been taken over.
        """
        kept = self.contents.seal(claim.tenant_id, CHECKPOINT, encode(result))
        held(await self.run(_CHECKPOINT, claim.tenant_id, claim.task_id, claim.attempt, name, kept))

    async def finish(self, claim: Claim, session_id: str, ending: TaskEnding, retention: Retention) -> bool:
        """End a task; returns whether another turn of the session became claimable.

        Raises:
            FencedOut: the task has been taken over.
        """
        seal, tenant_id = self.contents.seal, claim.tenant_id
        reply = await self.run(
            _FINISH,
            tenant_id,
            claim.task_id,
            claim.attempt,
            session_id,
            ending.status,
            seal(tenant_id, RESULT, ending.result),
            seal(tenant_id, ERROR, ending.error),
            ending.session_state,
            ending.correlation_id,
            ending.state_body,
            retention.task_seconds,
            retention.pause_after_ms,
            retention.history_length,
            retention.history_seconds,
            ending.conversation_id,
            ending.agent_version,
            ending.answer_id,
            "1" if ending.dead_letter else "0",
            len(ending.history),
            *(seal(tenant_id, HISTORY, message) for message in ending.history),
            *(part for name, body in ending.events for part in (name, seal(tenant_id, EVENT, body))),
        )
        return bool(held(reply))

    async def park(
        self, claim: Claim, session_id: str, waits: Sequence[Wait], requests: Mapping[str, tuple[str, bytes]]
    ) -> int:
        """Put a task aside until one of its waits is answered, or given up.

        Args:
            claim: the task.
            session_id: whose log is told; empty: the task's own.
            waits: what it waits for; one that it had before keeps its time.
            requests: name and body of the event that asks for the answer, by call, where one does.

        Returns:
            The moment (ms) at which the first is given up; 0 where one has been answered already, or a user wants the
            task stopped: then it is claimable.

        Raises:
            FencedOut: the task has been taken over.
        """
        parts: list[str | bytes | int] = []
        for wait in waits:
            event, body = requests.get(wait.call_id, ("", b""))
            asked = self.contents.seal(claim.tenant_id, EVENT, body)
            parts += [wait.call_id, wait.kind, wait.timeout_ms, event, asked]
        return held(await self.run(_PARK, claim.tenant_id, claim.task_id, claim.attempt, session_id, *parts))

    async def retry(self, claim: Claim, session_id: str, retry: Retry) -> int:
        """Let a failed task start over later; it holds no slot meanwhile. Returns the moment (ms) at which it does.

        Raises:
            FencedOut: the task has been taken over.
        """
        reply = await self.run(
            _RETRY,
            claim.tenant_id,
            claim.task_id,
            claim.attempt,
            session_id,
            retry.delay_ms,
            retry.time_left_ms,
            self.contents.seal(claim.tenant_id, ERROR, retry.error),
            self.contents.seal(claim.tenant_id, EVENT, retry.body),
            retry.event,
        )
        return held(reply)

    async def expire(self, tenant_id: str, count: int, expiry: Expiry, retention: Retention) -> tuple[int, bool]:
        """Give up turns that were not started in time, among the first `count` of each lane.

        Returns how many, and whether another turn became claimable.
        """
        given_up, more = await self.run(
            _EXPIRE,
            tenant_id,
            count,
            expiry.error,
            expiry.trouble_body,
            expiry.status_body,
            expiry.state_body,
            retention.task_seconds,
        )
        return given_up, bool(more)

    async def answer_tool(
        self, tenant_id: str, session_id: str, tool_call_id: str, answer: CallAnswer, event: tuple[str, bytes]
    ) -> bool:
        """Take the result of a client's tool; false if no turn of the session waits for it.

        Args:
            tenant_id: whose session.
            session_id: the session, whose active turn waits.
            tool_call_id: which call of the tool.
            answer: the result.
            event: name and body of what the session is told.
        """
        seal, (name, body) = self.contents.seal, event
        told = (seal(tenant_id, CHECKPOINT, encode(answer)), name, seal(tenant_id, EVENT, body))
        reply = await self.run(_ANSWER, tenant_id, "", session_id, tool_call_id, "", *told)
        return Taken(reply[0].decode()) is Taken.TAKEN

    async def release_due(
        self, tenant_id: str, count: int, *, state_template: bytes, cancelled_template: bytes, retention: Retention
    ) -> tuple[int, int | None]:
        """Release delayed tasks whose moment has come; returns how many, and the next moment (ms).

        Args:
            tenant_id: whose tasks.
            count: how many at most.
            state_template: body of `session.state_update` for a turn that begins.
            cancelled_template: body of `chat.status_update` for one whose session is closed.
            retention: how long records are kept.
        """
        released, following = await self.run(
            _RELEASE_DUE,
            tenant_id,
            count,
            _CLIENT_LATE,
            state_template,
            cancelled_template,
            retention.task_seconds,
            _SERVICE_LATE,
        )
        return released, moment(following) if following else None

    async def hand_back(self, claim: Claim) -> None:
        """Put a task back into its lane.

        Raises:
            FencedOut: the task has been taken over.
        """
        held(await self.run(_HAND_BACK, claim.tenant_id, claim.task_id, claim.attempt))

    async def cancel(
        self,
        viewer: Viewer,
        task_id: str,
        *,
        correlation_id: str,
        status_template: bytes,
        state_body: bytes,
        retention: Retention,
        reason: str = "",
    ) -> tuple[TaskCancelVerdict, bool]:
        """Cancel a task, and keep why; returns also whether another turn became claimable."""
        reply = await self.run(
            _CANCEL,
            viewer.tenant_id,
            task_id,
            viewer.user_id,
            viewer.flag,
            correlation_id,
            status_template,
            state_body,
            retention.task_seconds,
            retention.pause_after_ms,
            self.contents.seal(viewer.tenant_id, WORDS, reason) if reason else "",
        )
        return TaskCancelVerdict(reply[0].decode()), len(reply) > 1 and bool(reply[1])
