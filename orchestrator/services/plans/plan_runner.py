"""Plans at work: every call as soon as it may, its result kept before anything that depends on it begins."""

from collections.abc import Mapping
from typing import Any

import structlog
import trio
from attrs import frozen

from orchestrator.codec import structure_kept, unstructure
from orchestrator.domain.plans import conditions, references
from orchestrator.domain.plans.plan_schedule import PlanSchedule
from orchestrator.errors import CallTimeout, OrchestratorError, PlanTimeout, Unprocessable
from orchestrator.models.common.envelope import ErrorBody, FieldFault
from orchestrator.models.plans.orchestration import OnFailure, OrchestrationPlan, ServiceCall
from orchestrator.models.plans.plan_state import CallState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.plans.attempt import CallWaits, PlanAttempt
from orchestrator.services.plans.call_executor import CallExecutor, PlanDone, PlanUndone, PlanWaiting
from orchestrator.services.plans.plan_journal import UNDO, WAIT, PlanJournal, kept_wait
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.store.records import reading
from orchestrator.stored_errors import revive
from orchestrator.telemetry.tracing.work import begin_step

_log = structlog.get_logger("orchestrator.services.plans.plan_runner")


@frozen
class PlanRunner:
    """Runs attempts at plans; `executor` makes their calls."""

    executor: CallExecutor

    async def run(
        self, plan: OrchestrationPlan, input_: Mapping[str, Any], run: PlanAttempt
    ) -> PlanDone | PlanWaiting | PlanUndone:
        """Run one attempt, from what earlier attempts have left.

        An attempt works for `plan.deadline_ms` at most, and not beyond the task's time; what it waits for while it is
        put aside has clocks of its own. When it is cancelled, so are the calls that run; what is done stays done.

        Args:
            plan: one that `domain.plans` finds no fault in.
            input_: what `$.input` refers to.
            run: the attempt.

        Raises:
            PlanTimeout: the deadline has passed, and the plan is not one that is undone.
            OrchestratorError: a call has failed and the plan can't go on without it; `details` name the call.
            FencedOut: another worker has taken the task over.
        """
        return await _Attempt(plan, input_, run, self.executor).run()


class _Attempt:
    def __init__(
        self,
        plan: OrchestrationPlan,
        input_: Mapping[str, Any],
        run: PlanAttempt,
        executor: CallExecutor,
    ) -> None:
        self._plan = plan
        self._run = run
        self._executor = executor
        self._seconds = min(plan.deadline_ms, run.message.metadata.timeout_ms) / 1000
        self._deadline = trio.current_time() + self._seconds
        self._schedule = PlanSchedule.of(plan.calls, plan.strategy)
        self._record = PlanJournal(plan, input_, run, call_of(run.message, self._deadline))
        self._holds: dict[str, bool] = {}
        """Whether the condition of a call is true, of those that were looked at."""
        self._refused: dict[str, OrchestratorError] = {}
        """Calls that fail without being made."""
        self._unsure: list[str] = []
        self._fault: OrchestratorError | None = None
        turned = run.checkpoints.get(UNDO)
        if turned is not None:
            with reading("task", run.message.task_id):
                self._fault = revive(structure_kept(turned["error"], ErrorBody))
                self._unsure = [name for name in turned["unsure"] if name in plan.calls]

    async def run(self) -> PlanDone | PlanWaiting | PlanUndone:
        if self._fault is None:
            await self._go_forward()
        if self._fault is not None:
            return await self._turn_back(self._fault)
        if self._record.waits:
            return PlanWaiting(list(self._record.waits.values()))
        return self._end()

    async def _go_forward(self) -> None:
        with trio.CancelScope(deadline=self._deadline) as scope:
            async with open_joined_nursery() as nursery:
                await self._make_all(await self._advance(nursery), nursery)
        if scope.cancelled_caught:
            fault = PlanTimeout(f"The plan was not finished within {round(self._seconds * 1000)} ms.")
            if self._plan.on_failure is not OnFailure.COMPENSATE:
                raise fault
            await self._begin_turning_back(fault, *self._record.running())

    async def _advance(self, nursery: trio.Nursery) -> str | None:
        """Start what may start now, but for one call: it is returned, for the task at hand to go on with."""
        record = self._record
        while (moves := self._schedule.moves(record.states, self._holds.get)).undecided is not None:
            self._decide(moves.undecided)
            # A plan may have many conditions, and each may take some milliseconds: others come in between.
            await trio.lowlevel.checkpoint()
        if self._fault is not None:
            return None
        for name in moves.skip:
            record.skip(name)
            nursery.start_soon(self._run.tell, record.progress(name, CallState.SKIPPED))
        for name in moves.start:
            record.states[name] = CallState.RUNNING
        for name in moves.start[1:]:
            nursery.start_soon(self._make_all, name, nursery)
        return moves.start[0] if moves.start else None

    def _decide(self, name: str) -> None:
        """Look at a call's `when`; one that can't be looked at fails its call."""
        try:
            self._holds[name] = conditions.holds(self._plan.calls[name].when or {}, self._record.data)
        except references.TooCostly as costly:
            self._holds[name] = True
            fault = _at(f"{name}.when", f"can't be decided: {costly}")
            self._refused[name] = Unprocessable(f"A condition can't be decided: {costly}.", details=[fault])

    async def _make_all(self, name: str | None, nursery: trio.Nursery) -> None:
        """Make a call, and what may be made after it."""
        while name is not None:
            await self._make(name)
            name = await self._advance(nursery)

    async def _make(self, name: str) -> None:
        record = self._record
        try:
            if name in self._refused:
                raise self._refused[name]
            await self._run.tell(record.progress(name, CallState.RUNNING))
            step = self._plan.calls[name]
            with begin_step(name, step.service, step.operation):
                result = await self._executor.perform(record.planned(name, step, self._deadline))
            record.weigh(result)
        except CallWaits as waits:
            await record.put_aside(name, waits.wait)
        except OrchestratorError as error:
            await self._fail(name, error)
        else:
            await record.settle(name, CallState.DONE, {"result": result})

    async def _fail(self, name: str, error: OrchestratorError) -> None:
        """Let the plan go on without a call, turn back, or fail."""
        late = isinstance(error, CallTimeout)
        if late and trio.current_time() >= self._deadline:
            await trio.sleep_forever()  # The call's deadline was the plan's, which ends all of them at this moment.
        fault = _with_details(error, [_at(name, f"failed with {error.code}")])
        if self._plan.calls[name].optional or self._plan.on_failure is OnFailure.PARTIAL:
            body = fault.body(self._run.message.correlation_id)
            await self._record.settle(name, CallState.FAILED, {"error": unstructure(body)}, body)
        elif self._plan.on_failure is OnFailure.COMPENSATE:
            await self._begin_turning_back(fault, *([name] if late else []))
        else:
            raise fault from error

    def _end(self) -> PlanDone:
        record = self._record
        status = self._schedule.status(record.states)
        if status is TaskStatus.FAILED:
            raise revive(next(iter(record.failed.values())))
        skipped = [name for name, state in record.states.items() if state is CallState.SKIPPED]
        return PlanDone(status, record.results(), record.failed, skipped)

    async def _begin_turning_back(self, fault: OrchestratorError, *unsure: str) -> None:
        """Start nothing more; what runs is let to its end, so that it can be undone.

        Args:
            fault: why; the first one counts.
            unsure: calls of which it is unknown whether they have been done.
        """
        self._unsure += [name for name in unsure if self._plan.calls[name].compensate is not None]
        self._fault = self._fault or fault
        error = unstructure(self._fault.body(self._run.message.correlation_id))
        await self._run.checkpoint(UNDO, {"error": error, "unsure": self._unsure})

    async def _turn_back(self, fault: OrchestratorError) -> PlanWaiting | PlanUndone:
        """Undo what is done, the last first; what can't be undone is left, and the rest undone nevertheless."""
        deadline = trio.current_time() + self._plan.deadline_ms / 1000
        unknown = CallTimeout("It is unknown whether it was done: its answer did not come in time.")
        left = {name: unknown.body(self._run.message.correlation_id) for name in self._unsure}
        undone = []
        for name, step in self._schedule.to_undo(self._record.done):
            try:
                error = await self._undo(name, step, deadline)
            except CallWaits as waits:
                return PlanWaiting([waits.wait])
            if error is None:
                undone.append(name)
            else:
                left[name] = error
        details = [_at(name, f"is left: {error.message}") for name, error in left.items()]
        return PlanUndone(_with_details(fault, details), undone, left)

    async def _undo(self, name: str, step: ServiceCall, deadline: float) -> ErrorBody | None:
        """Undo one call; returns why it could not be. CallWaits where that is told later."""
        record, key = self._record, UNDO + name
        kept = self._run.checkpoints.get(key)
        if kept is not None:
            with reading("task", self._run.message.task_id):
                return structure_kept(kept["error"], ErrorBody) if "error" in kept else None
        wait = record.wait_of(key)
        if wait is not None and not record.is_answered(wait):
            raise CallWaits(wait)
        fault: OrchestratorError = CallTimeout("There was no time left to undo it.")
        with trio.CancelScope(deadline=deadline):
            try:
                with begin_step(key, step.service, step.operation):
                    await self._executor.perform(record.planned(key, step, deadline))
            except CallWaits as waits:
                await self._run.checkpoint(WAIT + key, kept_wait(waits.wait))
                raise
            except OrchestratorError as error:
                fault = error
            else:
                await self._run.checkpoint(key, {"state": CallState.UNDONE}, record.progress(name, CallState.UNDONE))
                return None
        body = fault.body(self._run.message.correlation_id)
        _log.error("call not undone", task_id=self._run.message.task_id, call=name, reason=body.message)
        outcome = {"state": CallState.LEFT, "error": unstructure(body)}
        await self._run.checkpoint(key, outcome, record.progress(name, CallState.LEFT, body))
        return body


def _at(name: str, message: str) -> FieldFault:
    return FieldFault(f"$.plan.calls.{name}", message)


def _with_details(error: OrchestratorError, details: list[FieldFault]) -> OrchestratorError:
    # A new one: several calls may share what was raised.
    return type(error)(
        error.message,
        details=[*error.details, *details],
        retry_after_ms=error.retry_after_ms,
        service=error.service,
    )
