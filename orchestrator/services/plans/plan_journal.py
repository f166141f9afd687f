"""What is known of a plan while an attempt at it runs, and what is kept of it for the next one, as checkpoints:

- `{call}`: `{"state": "done", "result": …, "nth": n}`, or `{"state": "failed", "error": {…}, "nth": n}`;
- `wait:{call}`: whom the call waits for, and until when; `answer:{call_id}` is the answer, once it is there;
- `undo:`: the failure that has made the plan turn back; `undo:{call}`: how undoing it went.

Names of calls have no colon, so none is taken for something else.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import asdict, evolve

from orchestrator.codec import encode, structure_kept
from orchestrator.domain.plans import references
from orchestrator.errors import PayloadTooLarge, Unprocessable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import ErrorBody, FieldFault
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.plans.orchestration import OrchestrationPlan, ServiceCall
from orchestrator.models.plans.plan_state import CallState, PlanProgress
from orchestrator.models.tasks.waits import Wait
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.plans.attempt import PlanAttempt
from orchestrator.services.plans.call_executor import PlannedCall
from orchestrator.services.shared.traces import current_trace
from orchestrator.store.records import reading

WAIT: Final = "wait:"
UNDO: Final = "undo:"
MAX_PARAMETER_BYTES: Final = 1_048_576
"""Of one call, as JSON, with what its references stand for."""
MAX_RESULT_BYTES: Final = 1_048_576
"""Of all calls of a plan together, as JSON."""


class PlanJournal:
    """The calls of a plan, as far as they have come; it begins with what earlier attempts have kept.

    Args:
        plan: one without faults.
        input_: what `$.input` refers to.
        run: the attempt.
        context: what its calls carry.
    """

    def __init__(
        self,
        plan: OrchestrationPlan,
        input_: Mapping[str, Any],
        run: PlanAttempt,
        context: CallContext,
    ) -> None:
        self._plan = plan
        self._run = run
        self._context = context
        self._calls: dict[str, dict[str, Any]] = {}
        self._nth = 0
        self._skipped = 0
        self._bytes = 0
        self.data = {"input": input_, "calls": self._calls}
        """What references look into."""
        self.states = dict.fromkeys(plan.calls, CallState.PENDING)
        self.done: list[str] = []
        """In the order in which they were done."""
        self.failed: dict[str, ErrorBody] = {}
        """Those that the plan went on without."""
        self.waits: dict[str, Wait] = {}
        """Those that were put aside and are not answered."""
        with reading("task", run.message.task_id):
            self._recall()

    def results(self) -> dict[str, Any]:
        """Return the results of the calls that are done, in the order of the plan."""
        done = set(self.done)
        return {name: self._calls[name]["result"] for name in self._plan.calls if name in done}

    def running(self) -> list[str]:
        """Return the calls whose end is not known."""
        return [name for name, state in self.states.items() if state is CallState.RUNNING and name not in self.done]

    def planned(self, key: str, step: ServiceCall, deadline: float) -> PlannedCall:
        """Make a call ready.

        Args:
            key: the call's name, `undo:{name}` of what undoes it.
            step: the call as it was written.
            deadline: by trio's clock.

        Raises:
            Unprocessable: its parameters refer to what is not there.
        """
        if step.parameters:
            step = evolve(step, parameters=self._filled(step.parameters))
        wait = self.wait_of(key)
        return PlannedCall(
            key,
            step,
            evolve(
                self._context,
                trace=current_trace() or self._context.trace,
                deadline=deadline,
                idempotency_key=f"{self._run.message.task_id}:{key}:{self._plan.version}",
            ),
            self._run,
            None if wait is None else answer_of(self._run.checkpoints, wait.call_id),
        )

    def _filled(self, parameters: dict[str, Any]) -> Any:
        try:
            filled = references.resolve(parameters, self.data)
        except references.Missing as missing:
            fault = FieldFault(missing.path, missing.message)
            raise Unprocessable(f"A parameter can't be filled in: {missing}.", details=[fault]) from None
        if references.find(parameters) and len(encode(filled)) > MAX_PARAMETER_BYTES:
            raise PayloadTooLarge(f"The parameters of a call are larger than {MAX_PARAMETER_BYTES} bytes.")
        return filled

    def wait_of(self, key: str) -> Wait | None:
        """Return what an earlier attempt has put a call aside for, with the time that is left."""
        kept = self._run.checkpoints.get(WAIT + key)
        if kept is None:
            return None
        with reading("task", self._run.message.task_id):
            wait, until_ms = structure_kept(kept, Wait), int(kept["until_ms"])
        # Processes' clocks may differ, or be set: a wait is never longer than it was at first.
        return evolve(wait, timeout_ms=min(wait.timeout_ms, max(1, until_ms - now_ms())))

    def is_answered(self, wait: Wait) -> bool:
        """Tell whether the answer has come."""
        return answer_of(self._run.checkpoints, wait.call_id) is not None

    def weigh(self, result: Any) -> None:
        """Count a result.

        Raises:
            PayloadTooLarge: together with the others it is more than is kept.
        """
        self._bytes += len(encode(result))
        if self._bytes > MAX_RESULT_BYTES:
            raise PayloadTooLarge(f"The results of the plan are together larger than {MAX_RESULT_BYTES} bytes.")

    async def settle(
        self, name: str, state: CallState, outcome: dict[str, Any], error: ErrorBody | None = None
    ) -> None:
        """Keep how a call has ended; its state changes when it is kept, so nothing that depends on it begins before."""
        self._nth += 1
        outcome = {"state": state, **outcome, "nth": self._nth}
        self._note(name, outcome)
        await self._run.checkpoint(name, outcome, self.progress(name, state, error))
        self.states[name] = state

    async def put_aside(self, name: str, wait: Wait) -> None:
        """Keep what a call waits for."""
        await self._run.checkpoint(WAIT + name, kept_wait(wait), self.progress(name, CallState.WAITING))
        self.waits[name] = wait
        self.states[name] = CallState.WAITING

    def skip(self, name: str) -> None:
        """Note that a call is left out; a later attempt finds the same."""
        self._skipped += 1
        self.states[name] = CallState.SKIPPED

    def progress(self, name: str, state: CallState, error: ErrorBody | None = None) -> PlanProgress:
        """Return what is told of a call."""
        settled = len(self.done) + len(self.failed) + self._skipped
        return PlanProgress(name, state, settled, len(self.states), error)

    def _recall(self) -> None:
        kept = self._run.checkpoints
        settled = [(name, kept[name]) for name in self._plan.calls if name in kept]
        for name, outcome in sorted(settled, key=lambda one: one[1]["nth"]):
            self._note(name, outcome)
            self.states[name] = CallState(outcome["state"])
            self._nth = outcome["nth"]
            self._bytes += len(encode(outcome.get("result")))
        for name, state in self.states.items():
            wait = self.wait_of(name) if state is CallState.PENDING else None
            if wait is not None and not self.is_answered(wait):
                self.waits[name] = wait
                self.states[name] = CallState.WAITING

    def _note(self, name: str, outcome: Mapping[str, Any]) -> None:
        if outcome["state"] == CallState.DONE:
            self.done.append(name)
            self._calls[name] = {"result": outcome["result"]}
        else:
            self.failed[name] = structure_kept(outcome["error"], ErrorBody)
            self._calls[name] = {"error": outcome["error"]}


def kept_wait(wait: Wait) -> dict[str, Any]:
    """Return what is kept of a wait: its end as a moment (ms since the epoch)."""
    return {**asdict(wait), "until_ms": now_ms() + wait.timeout_ms}
