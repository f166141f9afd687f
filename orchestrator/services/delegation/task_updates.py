"""What services tell of work that was handed on to them: an update with the call's token is taken, once."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import asdict, evolve, frozen

from orchestrator.clients.transport.http_errors import reported_error
from orchestrator.codec import encode
from orchestrator.errors import NotFound, PermissionMissing, Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task_updates import TaskFail, TaskProgress, TaskUpdate, TaskUpdated
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Taken
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.store.events.frames import make_body
from orchestrator.store.plans.delegations import DelegationStore, Receipt
from orchestrator.store.scheduling.ready import ReadyTenants

_FIGURES: Final = ("progress", "steps_completed", "steps_total")
"""What stays as it was where news of a workflow do not say it: services have news of steps, and news of percentages."""
_UNTOLD: Final = frozenset({"callback_token", "task_id"})


@frozen
class TaskUpdateService:
    """Takes progress, results and failures of delegated calls.

    Args:
        store: where they go.
        ready: told when a task may go on.
        kinds: they know what is told of progress.
    """

    store: DelegationStore
    ready: ReadyTenants
    kinds: TaskKinds

    async def take(self, ctx: RequestContext, task_id: str, token: str | None, update: TaskUpdate) -> TaskUpdated:
        """Take what a service tells.

        Args:
            ctx: the request; its tenant must be the task's.
            task_id: which task.
            token: what the service presents beside the update; None: the update has it.
            update: the news.

        Raises:
            NotFound: the tenant has no such task.
            PermissionMissing: the token is none of this task's, or has expired.
            Unprocessable: the update names another task.
        """
        if update.task_id not in {None, task_id}:
            fault = FieldFault("$.data.task_id", "is not the task of the path")
            raise Unprocessable("The news name another task than their path.", details=[fault])
        presented = token or update.callback_token
        if not presented:
            raise PermissionMissing("Present the callback token that came with the call: 'X-Callback-Token: …'.")
        if isinstance(update, TaskProgress):
            receipt = await self._progress(ctx.tenant_id, task_id, presented, update)
        else:
            receipt = await self._answer(ctx.tenant_id, task_id, presented, update)
        if receipt.taken is Taken.REFUSED:
            raise PermissionMissing("The callback token is none of this task, or has expired.")
        if receipt.status is None:
            raise _not_found(task_id)
        if receipt.claimable:
            await self.ready.mark(ctx.tenant_id)
        return TaskUpdated(task_id, receipt.taken is Taken.TAKEN, receipt.status)

    async def _progress(self, tenant_id: str, task_id: str, token: str, update: TaskProgress) -> Receipt:
        task = await self.store.reported(tenant_id, task_id)
        if task is None:
            return Receipt(Taken.UNKNOWN)
        if "workflow_id" in task.record:
            update = _with_figures(update, task.figures)
        tell = self.kinds.named(task.type).tell
        told = tell(task_id, task, update) if tell is not None else []
        kept = {name: value for name, value in asdict(update).items() if value is not None and name not in _UNTOLD}
        return await self.store.progress(
            tenant_id,
            task_id,
            token,
            encode(kept),
            execution_id=update.execution_id or "",
            session_id=task.session_id or "",
            events=[
                (name, make_body(name, data, tenant_id=tenant_id, correlation_id=task.correlation_id))
                for name, data in told
            ],
        )

    async def _answer(self, tenant_id: str, task_id: str, token: str, update: Any) -> Receipt:
        if isinstance(update, TaskFail):
            service = await self.store.service_of(tenant_id, task_id, token)
            said = update.error
            error = reported_error(service, said.code, said.message, retryable=said.retryable).body()
            answer = CallAnswer(AnswerStatus.FAILED, error=error)
        else:
            answer = CallAnswer(AnswerStatus.COMPLETED, update.result)
        return await self.store.answer(tenant_id, task_id, token, answer)


def _with_figures(update: TaskProgress, earlier: Mapping[str, Any]) -> TaskProgress:
    unsaid = {name: earlier.get(name) for name in _FIGURES if getattr(update, name) is None}
    return evolve(update, **unsaid)


def _not_found(task_id: str) -> NotFound:
    return NotFound(f"There is no task {task_id}.")
