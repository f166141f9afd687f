"""A desk with tasks that wait for answers, over the stores that they pass through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import evolve, frozen

from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskMetadata, TaskStatus
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Taken, Wait, WaitKind
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.plain_tasks import PlainTaskStore, TaskBounds
from orchestrator.store.tasks.tasks import Retention, TaskStore

BOUNDS = TaskBounds(retain_tasks=600)
RETENTION = Retention(600, 1000, 10, 600)
ANN = Viewer("acme", "ann", sees_whole_tenant=False)
DONE = CallAnswer(AnswerStatus.COMPLETED, {"x": 1})


def a_task(**fields: Any) -> TaskMessage:
    message = TaskMessage(
        message_id=new_id(),
        task_id=new_id(),
        tenant_id="acme",
        correlation_id=new_id(),
        created_at=to_timestamp(now_ms()),
        type=MessageType("test", "noop"),
        metadata=TaskMetadata("ann"),
        payload={},
    )
    return evolve(message, **fields)


def a_wait(call_id: str = "a", timeout_ms: int = 60_000) -> Wait:
    return Wait(call_id, WaitKind.DELEGATED, timeout_ms)


@frozen
class Desk:
    """The stores that a task passes through while it waits."""

    redis: Redis
    generic: PlainTaskStore
    tasks: TaskStore
    delegations: DelegationStore

    async def begin(self, tenant_id: str = "acme") -> Claim:
        """Admit a task, and claim it."""
        event = ("workflow.status_update", b"{}")
        await self.generic.admit(a_task(tenant_id=tenant_id), lane=Lane.NORMAL, event=event, bounds=BOUNDS)
        return await self.claim(tenant_id)

    async def claim(self, tenant_id: str = "acme") -> Claim:
        """Claim the one task that waits in the lane."""
        (claim,) = (await self.tasks.claim(tenant_id, "node-1", 10)).claims
        return claim

    async def idle(self) -> bool:
        """Tell whether there is nothing to claim."""
        return (await self.tasks.claim("acme", "node-1", 10)).claims == []

    async def register(self, claim: Claim, call_id: str = "a", presented: str = "t", lifetime_ms: int = 60_000) -> bool:
        return await self.delegations.register(
            claim, call_id, service="workflow_engine", token=presented, lifetime_ms=lifetime_ms
        )

    async def park(self, claim: Claim, *waits: Wait) -> int:
        return await self.tasks.park(claim, "", waits or [a_wait()], {})

    async def answer(self, claim: Claim, presented: str = "t", answer: CallAnswer = DONE) -> Taken:
        return (await self.delegations.answer("acme", claim.task_id, presented, answer)).taken

    async def release(self) -> int:
        released, _ = await self.tasks.release_due(
            "acme", 10, state_template=b"{}", cancelled_template=b"{}", retention=RETENTION
        )
        return released

    async def cancel(self, claim: Claim) -> str:
        verdict, _ = await self.tasks.cancel(
            ANN, claim.task_id, correlation_id="c", status_template=b"{}", state_body=b"{}", retention=RETENTION
        )
        return verdict

    async def status(self, claim: Claim) -> TaskStatus:
        task = await self.tasks.get(ANN, claim.task_id)
        assert task is not None
        return task.status


@asynccontextmanager
async def open_desk(redis_url: str) -> AsyncIterator[Desk]:
    """Open the stores."""
    async with open_redis(redis_url) as redis:
        shared = (redis, Keys(), 1000, LimitDefaults({"queue_length": "100", "bytes": ""}))
        yield Desk(redis, PlainTaskStore(*shared), TaskStore(*shared), DelegationStore(*shared))
