"""Workflows: from the claimed task to its end in the store, whichever end that is.

A plan of the user's own is run here. A workflow that the Workflow Engine knows is a plan of one call, which the engine
takes on: the task is put aside, and goes on when the engine has told the end, or was silent for too long and is asked.
"""

from functools import partial
from typing import Final

from attrs import evolve, frozen

from orchestrator.codec import encode
from orchestrator.errors import OrchestratorError, PlanTimeout, TaskExpired
from orchestrator.models.events.events import Trouble
from orchestrator.models.plans.workflow import WorkflowStatusUpdate
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.waits import ANSWER
from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.failures import log_end
from orchestrator.queue.attempts.lifecycle import carry, lost_too_often, outcome_of, read_or_dead_letter
from orchestrator.queue.attempts.plan_attempt import PlanTaskAttempt
from orchestrator.queue.attempts.retries import try_later
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.attempts.waiting import put_aside
from orchestrator.queue.tasks.engine_watch import EngineWatch
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.plans.call_authorization import CallAuthorization
from orchestrator.services.plans.call_executor import PlanDone, PlanUndone, PlanWaiting
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.workflows.engine_executor import CALL, EngineExecutor, engine_plan
from orchestrator.services.workflows.plan_calls import PlanCalls
from orchestrator.services.workflows.workflow_records import STATUS_UPDATE, status_body
from orchestrator.services.workflows.workflow_task import WORKFLOW, plan_of
from orchestrator.services.workflows.workflow_views import steps_done
from orchestrator.store.events.frames import make_body
from orchestrator.store.plans.workflows import WorkflowStore
from orchestrator.store.tasks.plain_tasks import PlainTaskStore, TaskEnd

_CALLBACK_PATH: Final = "/api/v1/orchestrator/workflows/callback"
"""Of the route by which the Workflow Engine reports without a callback token."""
Outcome = PlanDone | PlanWaiting | PlanUndone | OrchestratorError


@frozen
class PlanTasks:
    """Runs workflows.

    Args:
        services: what the queue works with.
        store: where workflows are.
        ends: ends their tasks.
        plans: runs plans of users' own.
        known: runs those of one call, which the Workflow Engine takes on.
        watch: asks the engine how its runs stand.
    """

    services: QueueServices
    store: WorkflowStore
    ends: PlainTaskStore
    plans: PlanRunner
    known: PlanRunner
    watch: EngineWatch

    async def __call__(self, running: RunningTask) -> None:
        """Run a claimed workflow to its end, or until it waits for an answer.

        Raises:
            FencedOut: another process has taken the task over.
        """
        message = await read_or_dead_letter(self.services, running)
        if message is None:
            return
        run = PlanTaskAttempt(self.services, running, message, self.store, aloud="plan" in message.payload)
        await carry(self.services, running, partial(self._attempt, run), partial(self._cancel, run))

    async def _attempt(self, run: PlanTaskAttempt) -> None:
        outcome: Outcome | None = self._refusal(run)
        if outcome is None:
            outcome = await outcome_of(partial(self._run, run), "workflow", run.message.task_id)
        if isinstance(outcome, PlanDone):
            await self._finish(run, self._done(run, outcome))
        elif isinstance(outcome, PlanUndone):
            await self._finish(run, _failed(run, outcome.error, undone=outcome))
        elif isinstance(outcome, PlanWaiting):
            waits = [self.watch.patient(wait) for wait in outcome.waits] if not run.aloud else outcome.waits
            await put_aside(self.services, run.running.claim, "", waits)
        elif _is_final(run, outcome) or not await self._try_later(run, outcome):
            await self._finish(run, _failed(run, outcome))

    async def _run(self, run: PlanTaskAttempt) -> PlanDone | PlanWaiting | PlanUndone:
        message = run.message
        given = message.payload.get("input") or {}
        if run.aloud:
            return await self.plans.run(plan_of(message), given, run)
        waiting = await self.watch.look(run)
        if waiting is not None:
            return PlanWaiting([waiting])
        return await self.known.run(engine_plan(message), given, run)

    def _refusal(self, run: PlanTaskAttempt) -> OrchestratorError | None:
        claim = run.running.claim
        if claim.expired:
            return TaskExpired("The workflow waited for too long to be started, and was given up; send it again.")
        return lost_too_often(self.services, claim, "workflow")

    async def _try_later(self, run: PlanTaskAttempt, error: OrchestratorError) -> bool:
        update = evolve(run.update, status=TaskStatus.RETRYING, status_message=error.message)
        body = status_body(update, run.message.tenant_id, run.message.correlation_id)
        return await try_later(
            self.services, run.running, run.message, error, session_id="", event=(STATUS_UPDATE, body)
        )

    async def _cancel(self, run: PlanTaskAttempt) -> None:
        await self._finish(run, _ending(run, TaskStatus.CANCELLED))

    async def _finish(self, run: PlanTaskAttempt, end: TaskEnd) -> None:
        services = self.services
        retain = int(services.settings.retain_tasks)
        log_end(run.running.claim, end.status, end.error)
        more = await outlast(lambda: self.ends.finish(run.running.claim, end, retain_seconds=retain))
        if more:
            await outlast(lambda: services.ready.mark(run.message.tenant_id))

    def _done(self, run: PlanTaskAttempt, done: PlanDone) -> TaskEnd:
        if run.aloud:
            result = {"results": done.results, "failed": done.failed, "skipped": done.skipped}
        else:
            result = done.results[CALL]
            result = result if isinstance(result, dict) else {"results": result}
        if not run.aloud:
            run.update = evolve(run.update, steps_completed=steps_done(result) or run.update.steps_completed)
        return _ending(run, done.status, result=encode(result))


def _is_final(run: PlanTaskAttempt, error: OrchestratorError) -> bool:
    """Tell whether no further attempt may help: the time is over, or the Workflow Engine has told the end."""
    return isinstance(error, PlanTimeout) or (not run.aloud and ANSWER + CALL in run.checkpoints)


def _failed(run: PlanTaskAttempt, error: OrchestratorError, undone: PlanUndone | None = None) -> TaskEnd:
    body = error.body(run.message.correlation_id)
    result = b"" if undone is None else encode({"undone": undone.undone, "left": undone.left})
    trouble = Trouble(body, run.message.task_id, is_recoverable=False)
    return _ending(run, TaskStatus.FAILED, result=result, error=encode(body), trouble=trouble)


def _ending(
    run: PlanTaskAttempt,
    status: TaskStatus,
    *,
    result: bytes = b"",
    error: bytes = b"",
    trouble: Trouble | None = None,
) -> TaskEnd:
    tenant_id, correlation_id = run.message.tenant_id, run.message.correlation_id
    told = run.update
    update = WorkflowStatusUpdate(
        told.task_id,
        told.workflow_id,
        status,
        1.0 if status is TaskStatus.COMPLETED else told.progress,
        told.steps_completed,
        told.steps_total,
        status_message=None if trouble is None else trouble.error.message,
        cancelled_by=run.stopped_by if status is TaskStatus.CANCELLED else None,
    )
    events = [(STATUS_UPDATE, status_body(update, tenant_id, correlation_id))]
    if trouble is not None:
        body = make_body("system.error", trouble, tenant_id=tenant_id, correlation_id=correlation_id)
        events.insert(0, ("system.error", body))
    return TaskEnd(status, result, error, events, dead_letter=status is TaskStatus.FAILED)


def _handler(deps: TaskDeps) -> PlanTasks:
    core, stores, settings = deps.core, deps.core.stores, deps.core.settings
    lifetime_ms, poll_ms = round(settings.workflow_timeout * 1000), round(settings.workflow_poll * 1000)
    callback_url = f"{settings.public_url.rstrip('/')}{_CALLBACK_PATH}" if settings.public_url else ""
    calls = PlanCalls(core.clients, core.coordinator, core.gateway, core.questions)
    return PlanTasks(
        deps.queue,
        stores.workflows,
        stores.plain_tasks,
        plans=PlanRunner(CallAuthorization(calls, stores.ownership, int(settings.retain_sessions))),
        known=PlanRunner(EngineExecutor(core.clients, core.coordinator, lifetime_ms, poll_ms, callback_url)),
        watch=EngineWatch(stores.workflows, core.engine, poll_ms),
    )


workflow: Final = RunnableKind(WORKFLOW, _handler)
