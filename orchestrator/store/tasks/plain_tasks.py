"""Tasks that are no turns of a session: admitted by one script, ended by another, each the owner of its event log."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from orchestrator.codec import encode
from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskStatus
from orchestrator.store.contents import ERROR, EVENT, MESSAGE, RESULT
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tasks.admission import Admission, Verdict
from orchestrator.store.tasks.claims import Claim, held
from orchestrator.store.tenant_store import TenantStore, note_tenant, read_verdict

_ADMIT: Final = Script("admission/admit_task")
_FINISH: Final = Script("attempts/finish_task")


@frozen
class TaskBounds:
    """How long records are kept (s), and how long a task may wait to begin (ms)."""

    retain_tasks: int
    expire_ms: int = 0
    """0: for ever."""


@frozen
class Repeat:
    """What makes a request the same as another."""

    key: str
    digest: str


@frozen
class TaskEnd:
    """How a task ends, and what its log says of it."""

    status: TaskStatus
    result: bytes = b""
    """JSON."""
    error: bytes = b""
    """JSON."""
    events: Sequence[tuple[str, bytes]] = ()
    """Name and body of each."""
    dead_letter: bool = False


@define
class KnownTenants:
    """The tenants that this process has written into the list of all; again after a lost connection."""

    redis: Redis
    keys: Keys
    _known: set[str] = field(factory=set, init=False)
    _reconnects: int = field(default=0, init=False)

    @on_shared_keys
    async def note(self, tenant_id: str) -> None:
        """Have a tenant in the list, where the sweep finds it."""
        if self._reconnects != self.redis.counters.reconnects:
            self._known.clear()
            self._reconnects = self.redis.counters.reconnects
        if tenant_id not in self._known:
            await note_tenant(self.redis, self.keys, tenant_id)
            self._known.add(tenant_id)


class PlainTaskStore(TenantStore):
    """Admits and ends tasks that are no turns."""

    async def admit(
        self,
        message: TaskMessage,
        *,
        lane: Lane,
        event: tuple[str, bytes] | None,
        bounds: TaskBounds,
        rates: Rates | None = None,
        repeat: Repeat | None = None,
        answer: bytes = b"",
        scheduled_ms: int | None = None,
        record: Mapping[str, str | bytes | int] | None = None,
    ) -> Admission:
        """Admit a task, all of it or nothing. The caller notes the tenant first (`KnownTenants`).

        Args:
            message: the task. Its `metadata.user_id` owns it; `metadata.deduplication_key` is held; a `session_id` is
                noted, but the task takes no turn of that session.
            lane: where it queues.
            event: name and body of the first event of its log; None: it has none, and tells nothing.
            bounds: bounds of queue and record.
            rates: rate limits; None: the request was counted already, or is the service's own.
            repeat: what makes the request the same as another; None: nothing does.
            answer: what to answer a repeated request, and one with the same deduplication key, JSON.
            scheduled_ms: the moment (ms) at which it begins; None: now.
            record: further fields of its record.

        Returns:
            The verdict; `turns_before` is None where the task begins later.
        """
        tenant_id, metadata, seal = message.tenant_id, message.metadata, self.contents.seal
        fields = dict(record or {})
        if message.session_id is not None:
            fields["of_session"] = message.session_id
        own_args: list[Any] = [
            message.task_id,
            metadata.user_id,
            repeat.digest if repeat else "",
            answer,
            seal(tenant_id, MESSAGE, encode(message)),
            lane,
            message.priority,
            str(message.type),
            message.correlation_id,
            rates.tenant if rates else "",
            rates.user if rates else "",
            rates.burst_seconds if rates else "",
            bounds.retain_tasks,
            bounds.expire_ms or "",
            "" if scheduled_ms is None else scheduled_ms,
            "1" if metadata.deduplication_key else "0",
            new_epoch() if event else "",
            *((event[0], seal(tenant_id, EVENT, event[1])) if event else ("", b"")),
            2 * len(fields),
            *self.contents.seal_fields(tenant_id, "task", fields),
        ]
        reply = await self.join(
            _ADMIT,
            tenant_id,
            self.limit_defaults["queue_length"],
            self.limit_defaults["bytes"],
            IDEMPOTENCY_SECONDS,
            keys=[self.keys.tenant_limit(tenant_id)],
            own_keys=[
                self.keys.idempotency(tenant_id, metadata.user_id, repeat.key if repeat else ""),
                self.keys.user_limit(tenant_id, metadata.user_id),
                self.keys.deduplication(tenant_id, metadata.deduplication_key or ""),
            ],
            own_args=own_args,
        )
        verdict = Verdict(reply[0].decode())
        if verdict is Verdict.OK:
            claimable, wait_ms, window, left = reply[1:]
            return Admission(verdict, "", wait_ms, 0 if claimable else None, window, left)
        if verdict is Verdict.RATE:
            return Admission(verdict, reply[2].decode(), wait_ms=reply[1])
        return Admission(*read_verdict(Verdict, reply))

    async def finish(self, claim: Claim, end: TaskEnd, *, retain_seconds: int) -> bool:
        """End a task; its record and log go after `retain_seconds`. Returns whether work became claimable.

        Raises:
            FencedOut: the task has been taken over.
        """
        seal, tenant_id = self.contents.seal, claim.tenant_id
        args: list[Any] = [
            claim.task_id,
            claim.attempt,
            end.status,
            seal(tenant_id, RESULT, end.result),
            seal(tenant_id, ERROR, end.error),
            retain_seconds,
            "1" if end.dead_letter else "0",
            len(end.events),
        ]
        for name, body in end.events:
            args += (name, seal(tenant_id, EVENT, body))
        reply = await self.join(_FINISH, tenant_id, own_args=args)
        return bool(held(reply))
