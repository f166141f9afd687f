"""Asking the Workflow Engine how a run stands of which it has told nothing for a while."""

from typing import Any, Final

import structlog
import trio
from attrs import evolve, frozen

from orchestrator.codec import encode, unstructure
from orchestrator.errors import CallTimeout, NotFound, PlanTimeout, ServiceFault, ServiceRefused
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.waits import ANSWER, AnswerStatus, CallAnswer, Wait, WaitKind
from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.plan_attempt import PlanTaskAttempt
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.workflows.engine_executor import CALL
from orchestrator.services.workflows.workflow_engine import ENGINE, EngineService, kept_progress, progress_of_run
from orchestrator.services.workflows.workflow_records import (
    STATUS_UPDATE,
    request_body,
    request_of,
    status_body,
    update_of,
    workflow_of,
)
from orchestrator.store.plans.workflows import PROGRESS, Note, WorkflowStore, read_progress

_log = structlog.get_logger()

LOOK_SECONDS: Final = 10.0
"""Deadline of asking."""
_RUNNING: Final = ("running", "waiting", "pending", "queued", "processing", "started")


@frozen
class EngineWatch:
    """Looks after runs that the engine is silent about.

    Args:
        store: where workflows are.
        engine: asks the engine.
        poll_ms: how long silence is borne.
    """

    store: WorkflowStore
    engine: EngineService
    poll_ms: int

    def patient(self, wait: Wait) -> Wait:
        """Return a wait for the engine, after which it is asked."""
        return evolve(wait, timeout_ms=self.poll_ms)

    async def look(self, run: PlanTaskAttempt) -> Wait | None:
        """See to a run that was given up because nothing was heard of it.

        Returns:
            What the task waits for again; None where there is nothing to wait for: the run has not begun, or its end is
            known, and stands in the checkpoints.

        Raises:
            PlanTimeout: the time of the workflow is over.
            ServiceRefused: the engine no longer knows the run.
            FencedOut: another worker has taken the task over.
        """
        answer = answer_of(run.checkpoints, CALL)
        if answer is None or answer.error is None or answer.error.code != CallTimeout.code:
            return None
        if answer.error.service == ENGINE:
            # The engine itself has told that the run is out of time: that is its end.
            return None
        lasts_ms = run.running.claim.message().metadata.timeout_ms
        record = run.running.claim.record
        if int(record[b"claimed_at"]) >= int(record[b"started_at"]) + lasts_ms:
            raise PlanTimeout(f"The workflow has not ended within {lasts_ms} ms.")
        # First of all, so that an end which the engine tells meanwhile counts.
        await outlast(lambda: self.store.wait_again(run.running.claim, CALL))
        told = await self._ask(run)
        ended = _ended(told)
        if ended is None:
            await self._tell(run, told)
            return self.patient(Wait(CALL, WaitKind.DELEGATED, self.poll_ms))
        await run.checkpoint(ANSWER + CALL, unstructure(ended))
        run.checkpoints = {**run.checkpoints, ANSWER + CALL: unstructure(ended)}
        return None

    async def _ask(self, run: PlanTaskAttempt) -> dict[str, Any]:
        handed_on = await outlast(lambda: run.services.delegations.of_task(run.message.tenant_id, run.message.task_id))
        execution_id = next((one.execution_id for one in handed_on if one.call_id == CALL), "")
        if not execution_id:
            return {}
        call = call_of(run.message, trio.current_time() + LOOK_SECONDS)
        try:
            return {**await self.engine.standing(call, execution_id), "execution_id": execution_id}
        except NotFound as error:
            raise ServiceRefused(
                "The Workflow Engine no longer knows the run.", details=error.details, service=ENGINE
            ) from None
        except ServiceFault as error:
            _log.info("workflow.not_seen", task_id=run.message.task_id, reason=error.message)
            return {}

    async def _tell(self, run: PlanTaskAttempt, told: dict[str, Any]) -> None:
        """Tell followers what is new."""
        message = run.message
        before = read_progress(run.running.claim.record)
        progress = progress_of_run(told)
        if progress.input_request is None and progress.current_step == before.current_step:
            # The engine need not repeat what it asks for.
            progress = evolve(progress, input_request=before.input_request)
        if not told or kept_progress(progress) == kept_progress(before):
            return
        update = update_of(message.task_id, workflow_of(message), progress, TaskStatus.PROCESSING)
        events = [(STATUS_UPDATE, status_body(update, message.tenant_id, message.correlation_id))]
        asked = request_of(message.task_id, progress)
        if asked is not None and progress.input_request != before.input_request:
            events.append(request_body(asked, message.tenant_id, message.correlation_id))
        await run.note(Note({PROGRESS: encode(kept_progress(progress))}, events))


def _ended(told: dict[str, Any]) -> CallAnswer | None:
    """Return the end of a run, if it has one."""
    status = told.get("status")
    if not told or status in _RUNNING:
        return None
    if status == "completed":
        return CallAnswer(
            AnswerStatus.COMPLETED, {"execution_id": told["execution_id"], "results": told.get("results")}
        )
    said = told.get("error")
    words = said if isinstance(said, str) else f"it stands as {str(status)[:100]!r}"
    error = ServiceRefused(
        "The Workflow Engine could not do it.", details=[FieldFault(ENGINE, words[:500])], service=ENGINE
    )
    return CallAnswer(AnswerStatus.FAILED, error=error.body())
