"""Handing calls of a task in hand on to services."""

from collections.abc import Awaitable, Callable
from secrets import token_urlsafe
from typing import Final, TypeVar

from attrs import evolve, frozen

from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import TaskMessage, TaskMetadata
from orchestrator.models.tasks.waits import Callback
from orchestrator.services.delegation.delegations import CANCEL_TASK, CANCELLABLE, GRACE_MS
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.plans.ownership import OwnershipStore, Registered
from orchestrator.store.tasks.claims import Claim

T = TypeVar("T")

_TOKEN_BYTES: Final = 32
_CANCEL_MS: Final = 60_000


@frozen
class Delegated:
    """What one attempt at a task hands on; what `services.delegations.Delegating` asks for.

    Args:
        store: keeps it.
        ownership: notes whose the executions of services are.
        keep_seconds: how long that is known.
        claim: the task.
        message: the same.
        outlast: repeats a write while Redis is away.
    """

    store: DelegationStore
    ownership: OwnershipStore
    keep_seconds: int
    claim: Claim
    message: TaskMessage
    outlast: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]

    async def register(self, call_id: str, service: str, timeout_ms: int) -> Callback | None:
        """Have a call's answer taken, from now on; see `Delegating.register`."""
        token = token_urlsafe(_TOKEN_BYTES)
        to_send = await self.outlast(
            lambda: self.store.register(
                self.claim, call_id, service=service, token=token, lifetime_ms=timeout_ms + GRACE_MS
            )
        )
        return Callback(self.message.task_id, token) if to_send else None

    async def sent(self, call_id: str, service: str, execution_id: str = "") -> None:
        """Note that the service has taken the call on; see `Delegating.sent`."""
        undo = self._undo() if execution_id and service in CANCELLABLE else None
        if is_id(execution_id):
            await self.outlast(lambda: self._register(execution_id))
        await self.outlast(lambda: self.store.note_sent(self.claim, call_id, execution_id, undo))

    async def _register(self, execution_id: str) -> None:
        tenant_id, task_id = self.message.tenant_id, self.message.task_id
        owners = {Registered.EXECUTION: self.message.metadata.user_id, Registered.RUN: task_id}
        for kind, owner in owners.items():
            await self.ownership.register(tenant_id, kind, execution_id, owner, self.keep_seconds)

    def _undo(self) -> TaskMessage:
        message = self.message
        return TaskMessage(
            message_id=new_id(),
            task_id=new_id(),
            tenant_id=message.tenant_id,
            correlation_id=message.correlation_id,
            created_at=to_timestamp(now_ms()),
            type=CANCEL_TASK.type,
            metadata=evolve(
                TaskMetadata(message.metadata.user_id, timeout_ms=_CANCEL_MS),
                trace_id=message.metadata.trace_id,
                traceparent=message.metadata.traceparent,
                request_id=message.metadata.request_id,
            ),
            payload={"task_id": message.task_id},
            priority=CANCEL_TASK.priority,
        )
