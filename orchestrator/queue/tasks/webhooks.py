"""Callbacks: the end of a batch or a workflow is told to whom its creator named, signed, until it was heard, for a day.

A receiver may hear of the same thing twice, as where a process was lost between its answer and the end of the task; the
header `webhook-id` is the same then.
"""

import hashlib
import time
from functools import partial
from random import SystemRandom
from typing import Final

import orjson
import structlog
import trio
from attrs import evolve, frozen

from orchestrator.clients.callbacks import CallbackAnswer, CallbackClient
from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.codec import encode
from orchestrator.config.masking import bare_url
from orchestrator.domain.downstream.retry import backoff_seconds
from orchestrator.domain.webhook_signatures import new_secret, signed_headers
from orchestrator.errors import (
    BadGateway,
    InternalFault,
    NotFound,
    OrchestratorError,
    ServiceRefused,
)
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.plans.orchestration import RetryPolicy
from orchestrator.models.plans.workflow import WorkflowEnd
from orchestrator.models.tasks.batch import CallbackEvent
from orchestrator.models.tasks.callback import CallbackAttempt
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.lifecycle import carry, end_alone, lost_too_often, outcome_of, read_or_dead_letter
from orchestrator.queue.attempts.retries import put_off
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.tasks.callbacks import WEBHOOK
from orchestrator.services.workflows.workflow_views import results_of
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.plans.workflows import WorkflowStore
from orchestrator.store.records import reading
from orchestrator.store.scheduling.batches import BatchStore
from orchestrator.store.tasks.callback_log import CallbackLog
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.tasks import Retry

_log = structlog.get_logger()
_random: Final = SystemRandom()

LIFETIME_MS: Final = 86_400_000
"""How long a receiver is tried, from the end that it is told of."""
POLICY: Final = RetryPolicy(attempts=100, first_ms=5000, factor=2.0, jitter=0.15, cap_ms=10_800_000)
"""From 5 s on, each delay twice as long, up to 3 h: about 18 attempts in a day."""
_BODY: Final = "body"
_GONE: Final = 410


@frozen
class Webhooks:
    """Delivers callbacks.

    Args:
        services: what the queue works with.
        batches: what is told of.
        workflows: the same.
        tenants: they know what signs.
        client: sends.
        log: keeps how each attempt went.
        keep_seconds: for so long.
        policy: when a delivery is tried again.
    """

    services: QueueServices
    batches: BatchStore
    workflows: WorkflowStore
    tenants: TenantStates
    client: CallbackClient
    log: CallbackLog
    keep_seconds: int
    policy: RetryPolicy = POLICY

    async def __call__(self, running: RunningTask) -> None:
        """Try a claimed delivery once.

        Raises:
            FencedOut: another process has taken the task over.
        """
        message = await read_or_dead_letter(self.services, running)
        if message is None:
            return
        claim = running.claim
        await carry(
            self.services,
            running,
            partial(self._attempt, claim, message),
            partial(end_alone, self.services, claim, TaskStatus.CANCELLED),
        )

    async def _attempt(self, claim: Claim, message: TaskMessage) -> None:
        fault: OrchestratorError | None = lost_too_often(self.services, claim, "callback")
        if fault is None:
            fault = await outcome_of(partial(self._deliver, claim, message), "callback", claim.task_id)
        if fault is None:
            await end_alone(self.services, claim, TaskStatus.COMPLETED)
        elif isinstance(fault, InternalFault | ServiceRefused | NotFound) or not await self._try_later(claim, fault):
            await self._fail(claim, fault)

    async def _deliver(self, claim: Claim, message: TaskMessage) -> OrchestratorError | None:
        """Send a callback; returns what the receiver had against it."""
        body = await self._body(claim, message)
        keys = await self.tenants.callback_secrets(claim.tenant_id, new_secret())
        headers = {"Content-Type": "application/json", "User-Agent": "agent-orchestrator"}
        with reading("tenant", claim.tenant_id):
            headers |= signed_headers(keys, message.task_id, int(time.time()), body)
        moment, begun = now_ms(), trio.current_time()
        sent = partial(self._note, claim, message, body, moment, begun)
        try:
            answer = await self.client.post(message.payload["url"], headers, body)
        except OrchestratorError as error:
            await sent(None, error)
            raise
        fault = _fault(answer)
        await sent(answer.status, fault)
        return fault

    async def _note(
        self,
        claim: Claim,
        message: TaskMessage,
        body: bytes,
        moment: int,
        begun: float,
        status: int | None,
        error: OrchestratorError | None,
    ) -> None:
        """Keep how an attempt went."""
        payload = message.payload
        attempt = CallbackAttempt(
            at=to_timestamp(moment),
            task_id=message.task_id,
            attempt=claim.attempt,
            url=bare_url(payload["url"]),
            status=status,
            error=None if error is None else error.body(claim.record.get(b"correlation_id", b"").decode()),
            duration_ms=round((trio.current_time() - begun) * 1000),
            body_bytes=len(body),
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        subject_id = str(payload.get("task_id") or payload["batch_id"])
        await outlast(lambda: self.log.note(claim.tenant_id, subject_id, attempt, self.keep_seconds))

    async def _body(self, claim: Claim, message: TaskMessage) -> bytes:
        """Return what is sent: the same bytes each time, and though the batch's record may have gone since.

        Raises:
            NotFound: it had gone before the first attempt, or is another user's than the task.
        """
        kept = claim.checkpoints().get(_BODY)
        if kept is not None:
            return str(kept).encode()
        user_id = claim.record.get(b"user_id", b"").decode()
        if "task_id" in message.payload:
            body = await self._of_workflow(claim.tenant_id, user_id, message.payload["task_id"])
        else:
            body = await self._of_batch(claim.tenant_id, user_id, message.payload["batch_id"])
        await outlast(lambda: self.services.tasks.checkpoint(claim, _BODY, body.decode()))
        return body

    async def _of_batch(self, tenant_id: str, user_id: str, batch_id: str) -> bytes:
        found = await self.batches.load(tenant_id, [batch_id])
        if not found or found[0].user_id != user_id:
            raise NotFound("There is no such batch any more.")
        batch = evolve(found[0], callback=None)
        return _event(CallbackEvent.COMPLETED, batch.finished_at, batch)

    async def _of_workflow(self, tenant_id: str, user_id: str, task_id: str) -> bytes:
        found = await self.workflows.load(tenant_id, task_id)
        if found is None or found.task.user_id != user_id:
            raise NotFound("There is no such workflow any more.")
        results = results_of(found)
        with reading("workflow", task_id):
            return _event(WorkflowEnd(f"workflow.{results.status}"), results.finished_at, results)

    async def _try_later(self, claim: Claim, error: OrchestratorError) -> bool:
        """Let a delivery be tried again later; false where its day would be over by then."""
        delay_ms = round(
            backoff_seconds(self.policy, claim.failures + 1) * 1000 * (1 + self.policy.jitter * _random.uniform(-1, 1))
        )
        # A receiver may ask for more time, but not for more than the longest pause that it would get anyhow.
        delay_ms = max(delay_ms, round(min(error.retry_after_ms or 0, self.policy.cap_ms)))
        age_ms = int(claim.record[b"claimed_at"]) - int(claim.record[b"created_at"])
        left_ms = LIFETIME_MS - age_ms - delay_ms
        if left_ms <= 0 or claim.failures + 1 >= self.policy.attempts:
            return False
        retry = Retry(delay_ms=delay_ms, time_left_ms=left_ms, error=_told(claim, error), body=b"")
        _log.info("callback.retried", tenant_id=claim.tenant_id, task_id=claim.task_id, code=error.code, delay=delay_ms)
        await put_off(self.services, claim, "", retry)
        return True

    async def _fail(self, claim: Claim, error: OrchestratorError) -> None:
        await end_alone(self.services, claim, TaskStatus.FAILED, error=_told(claim, error))


def _fault(answer: CallbackAnswer) -> OrchestratorError | None:
    """Return what a receiver has against a callback."""
    if 200 <= answer.status < 300:
        return None
    if answer.status == _GONE:
        return ServiceRefused("The receiver wants no more callbacks: it answered 410.")
    return BadGateway(f"The receiver answered {answer.status}.", retry_after_ms=answer.retry_after_ms)


def _event(name: str, moment: str | None, data: object) -> bytes:
    return orjson.dumps({"type": name, "timestamp": moment, "data": orjson.Fragment(encode(data))})


def _told(claim: Claim, error: OrchestratorError) -> bytes:
    return encode(error.body(claim.record.get(b"correlation_id", b"").decode()))


def _handler(deps: TaskDeps) -> Webhooks:
    stores, settings = deps.core.stores, deps.core.settings
    client = CallbackClient(AddressGuard(settings.callback_allow))
    keep_seconds = int(settings.retain_tasks)
    return Webhooks(
        deps.queue, stores.batches, stores.workflows, stores.tenants, client, stores.callbacks, keep_seconds
    )


webhook: Final = RunnableKind(WEBHOOK, _handler)
