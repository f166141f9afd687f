"""Delegated calls: registered before they are sent, answered with their token."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson
from attrs import field, frozen

from orchestrator.codec import encode
from orchestrator.models.common.ids import is_id
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.models.tasks.waits import CallAnswer, Taken
from orchestrator.store.contents import CHECKPOINT, EVENT, MARK, MESSAGE
from orchestrator.store.plans.ownership import Registered
from orchestrator.store.records import as_object, as_text, reading
from orchestrator.store.script import Script
from orchestrator.store.tasks.claims import Claim, StopAsked, held, read_stop
from orchestrator.store.tenant_store import TenantStore

_DELEGATE: Final = Script("plans/delegate")
_NOTE: Final = Script("plans/note_sent")
_ANSWER: Final = Script("attempts/answer_call")
_PROGRESS: Final = Script("plans/report_progress")
_PREFIX: Final = "delegated:"
_TOKEN: Final = b"token:"
NAMED_SECONDS: Final = 7 * 86_400
"""How long a task is found by a service's own name of its work."""
MOST_TRACED: Final = 100
"""Tasks of one request that are looked at."""


@frozen
class Receipt:
    """What became of an answer, or of news."""

    taken: Taken
    status: TaskStatus | None = None
    """Of the task; None: there is none."""
    claimable: bool = False
    """Whether the task became claimable."""


@frozen
class Delegation:
    """A call that was handed on."""

    call_id: str
    service: str
    execution_id: str
    """The service's own name of it; empty where that is not known."""
    ended: bool
    """Whether the service is done with it."""
    cancellable: bool
    """Whether the service can be told to stop."""


@frozen
class Ending:
    """How a task has ended."""

    status: str
    code: str = ""
    """Of its error; empty: it has none."""
    stop: StopAsked | None = None
    """How it was asked to stop, if it was."""


class TokenDigest(str):
    """What is kept of a callback token; it stands for the token where a service has shown otherwise who it is."""

    __slots__ = ()


@frozen
class OpenCall:
    """A call that a service may answer."""

    call_id: str
    execution_id: str
    digest: TokenDigest
    """Of its callback token."""
    ended: bool


@frozen
class Reported:
    """Whose task some news are about."""

    type: str
    session_id: str | None
    message_id: str | None
    correlation_id: str
    record: dict[str, str]
    """Some more fields of its record: `batch_id`, `of_session`, `workflow_id`."""
    figures: Mapping[str, Any] = field(factory=dict)
    """What the last news said of its progress and steps."""


_REPORTED: Final = (
    "type", "session_id", "message_id", "correlation_id", "batch_id", "of_session", "workflow_id",
)  # fmt: skip


class DelegationStore(TenantStore):
    """Keeps what was handed on to services."""

    async def register(
        self,
        claim: Claim,
        call_id: str,
        *,
        service: str,
        token: str,
        lifetime_ms: int,
    ) -> bool:
        """Register a call that is about to be handed on.

        Args:
            claim: the task.
            call_id: names the call within the task.
            service: who is asked.
            token: what the service must present; its digest alone is kept.
            lifetime_ms: until the token expires.

        Returns:
            Whether it is to be sent; false where an earlier attempt has done so, and its answer is to be waited for.

        Raises:
            FencedOut: the task has been taken over.
        """
        reply = await self.run(
            _DELEGATE, claim.tenant_id, claim.task_id, claim.attempt, call_id, service, digest(token), lifetime_ms
        )
        return bool(held(reply))

    async def note_sent(
        self, claim: Claim, call_id: str, execution_id: str = "", undo: TaskMessage | None = None
    ) -> None:
        """Note that the service has taken a call on.

        Args:
            claim: the task.
            call_id: which call.
            execution_id: the service's own name of the work; empty: it has none.
            undo: the task that tells the service, if this one ends before the service does; None: it can't be told.

        Raises:
            FencedOut: the task has been taken over.
        """
        ending: tuple[object, ...] = ("", "", "", "")
        if undo is not None:
            message = self.contents.seal(claim.tenant_id, MESSAGE, encode(undo))
            ending = (undo.task_id, message, undo.priority, str(undo.type))
        held(await self.run(_NOTE, claim.tenant_id, claim.task_id, claim.attempt, call_id, execution_id, *ending))
        if execution_id and execution_id != claim.task_id:
            await self.name_execution(claim.tenant_id, execution_id, claim.task_id)

    async def name_execution(self, tenant_id: str, execution_id: str, task_id: str) -> None:
        """Have a task found by what a service calls its work."""
        await self.redis.set(self.keys.execution(tenant_id, execution_id), task_id, ex=NAMED_SECONDS)

    async def task_of_execution(self, tenant_id: str, execution_id: str) -> str | None:
        """Return the task whose work a service calls so; None: there is none."""
        found = await self.redis.get(self.keys.execution(tenant_id, execution_id))
        return None if found is None else found.decode(errors="replace")

    async def tasks_of_correlation(self, tenant_id: str, correlation_id: str) -> list[str]:
        """Return the tasks of a request."""
        found = await self.redis.lrange(self.keys.trace(tenant_id, correlation_id), 0, MOST_TRACED - 1)
        return [task_id.decode(errors="replace") for task_id in found]

    async def calls_of(self, tenant_id: str, task_id: str, service: str) -> list[OpenCall] | None:
        """Return what a task has handed on to a service, with the digests of the tokens by which that may answer.

        None: there is no such task, or it has ended and has nothing handed on.
        """
        record = await self.redis.hgetall(self.keys.task(tenant_id, task_id))
        if not record:
            return None
        tokens = {
            value.decode(errors="replace"): TokenDigest(name.removeprefix(_TOKEN).decode(errors="replace"))
            for name, value in record.items()
            if name.startswith(_TOKEN)
        }
        calls = [
            _delegation(name.decode(errors="replace").removeprefix(_PREFIX), value)
            for name, value in record.items()
            if name.startswith(_PREFIX.encode())
        ]
        known = [
            OpenCall(one.call_id, one.execution_id, tokens[one.call_id], one.ended)
            for one in calls
            if one.service == service and one.call_id in tokens
        ]
        return None if not known and b"finished_at" in record else known

    async def answer(self, tenant_id: str, task_id: str, token: str, answer: CallAnswer) -> Receipt:
        """Take a service's answer."""
        kept = self.contents.seal(tenant_id, CHECKPOINT, encode(answer))
        reply = await self.run(_ANSWER, tenant_id, task_id, "", "", digest(token), kept, "", "")
        return _receipt(task_id, reply)

    async def reported(self, tenant_id: str, task_id: str) -> Reported | None:
        """Return whose task some news are about; None: there is no such task."""
        *values, progress = await self.redis.hmget(self.keys.task(tenant_id, task_id), (*_REPORTED, "progress"))
        with reading("task", task_id):
            found = {name: value.decode() for name, value in zip(_REPORTED, values, strict=True) if value is not None}
        if "type" not in found:
            return None
        return Reported(
            type=found.pop("type"),
            session_id=found.pop("session_id", None),
            message_id=found.pop("message_id", None),
            correlation_id=found.pop("correlation_id", ""),
            record=found,
            figures=_figures(progress),
        )

    async def service_of(self, tenant_id: str, task_id: str, token: str) -> str:
        """Return the service that a token was given to; empty where it is none of the task's, or has expired."""
        task = self.keys.task(tenant_id, task_id)
        call_id = await self.redis.hget(task, f"token:{digest(token)}")
        kept = await self.redis.hget(task, _PREFIX.encode() + call_id) if call_id else None
        with reading("task", task_id):
            delegation = as_object(orjson.loads(kept)) if kept else {}
            lives = delegation and delegation.get("expires_at", 0) > await self.now_ms()
            return str(delegation["service"]) if lives else ""

    async def progress(
        self,
        tenant_id: str,
        task_id: str,
        token: str,
        progress: bytes,
        *,
        execution_id: str,
        session_id: str,
        events: Sequence[tuple[str, bytes]],
    ) -> Receipt:
        """Take news of how far a service is.

        Args:
            tenant_id: whose task.
            task_id: the task.
            token: what the service presents.
            progress: JSON, kept as the last news of the task.
            execution_id: the service's own name of the work; empty: it does not say.
            session_id: whose log tells it; empty: the task's own.
            events: name and body of each.
        """
        flat = (part for name, body in events for part in (name, self.contents.seal(tenant_id, EVENT, body)))
        kept = self.contents.seal_progress(tenant_id, progress)
        places = [self.keys.owner(tenant_id, Registered.RUN, execution_id)] if is_id(execution_id) else []
        told = (task_id, digest(token), kept, execution_id, session_id, *flat)
        return _receipt(task_id, await self.run(_PROGRESS, tenant_id, *told, keys=places))

    async def of_task(self, tenant_id: str, task_id: str) -> list[Delegation]:
        """Return everything that a task has handed on."""
        record = await self.redis.hgetall(self.keys.task(tenant_id, task_id))
        return [
            _delegation(name.decode(errors="replace").removeprefix(_PREFIX), value)
            for name, value in record.items()
            if name.startswith(_PREFIX.encode())
        ]

    async def ending(self, tenant_id: str, task_id: str) -> Ending:
        """Return how a task has ended."""
        record = await self.redis.hgetall(self.keys.task(tenant_id, task_id))
        with reading("task", task_id):
            opened = self.contents.open_record(tenant_id, "task", record)
            error = orjson.loads(opened[b"error"]) if b"error" in opened else {}
            return Ending(
                opened.get(b"status", b"").decode(),
                error.get("code", ""),
                read_stop(opened.get(b"cancel"), opened.get(b"cancelled_by")),
            )


def _figures(progress: bytes | None) -> dict[str, Any]:
    """Return the numbers of kept news, which stand in clear before what is sealed; none where they can't be read."""
    try:
        said = orjson.loads((progress or b"{}").partition(MARK)[0])
    except ValueError:
        return {}
    return {name: value for name, value in said.items() if type(value) in {int, float}} if type(said) is dict else {}


def digest(token: str) -> TokenDigest:
    """Return what is kept of a callback token, or of one of which only that is known."""
    if isinstance(token, TokenDigest):
        return token
    return TokenDigest(sha256(token.encode("utf-8", "surrogatepass")).hexdigest())


def _delegation(call_id: str, kept: bytes) -> Delegation:
    with reading("call", call_id):
        fields = as_object(orjson.loads(kept))
        return Delegation(
            call_id=call_id,
            service=as_text(fields["service"]) or "",
            execution_id=as_text(fields["execution_id"]) or "",
            ended=bool(fields.get("ended")),
            cancellable=bool(fields.get("told")),
        )


def _receipt(task_id: str, reply: list[Any]) -> Receipt:
    with reading("task", task_id):
        return Receipt(
            Taken(reply[0].decode()),
            TaskStatus(reply[1].decode()) if len(reply) > 1 else None,
            len(reply) > 2 and bool(reply[2]),
        )
