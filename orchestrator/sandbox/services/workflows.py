"""Workflows of the sandbox: validation of a definition, and one run of it."""

from collections import Counter
from enum import StrEnum
from typing import Any, Final

import trio
from attrs import define, field

from orchestrator.sandbox.serving.callbacks import TaskCallback
from orchestrator.sandbox.serving.gateway import GatewayRefused

INPUT_PATIENCE: Final = 3600.0
"""Wait of a run for its user, in seconds."""
MAX_STEPS: Final = 100
"""Bound of steps of one run, against definitions with endless loops."""
END: Final = "end"
_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "agent": ("agent_id", "query"),
    "tool": ("tool_id", "parameters"),
    "branch": ("when", "then", "else"),
    "input": ("prompt",),
}


class RunStatus(StrEnum):
    """State of a run."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepFailed(Exception):
    """A step has no result; the message says why."""


def faults_of(definition: dict[str, Any]) -> list[dict[str, str]]:
    """Return every fault of a definition, with its path."""
    steps = definition.get("steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        return [{"path": "$.steps", "message": "must be a list of steps, at least one"}]
    faults = []
    ids = [step.get("step_id") for step in steps]
    for index, step in enumerate(steps):
        path = f"$.steps[{index}]"
        if not isinstance(step.get("step_id"), str) or ids.count(step["step_id"]) > 1:
            faults.append({"path": f"{path}.step_id", "message": "must be a name that no other step has"})
        kind = step.get("type")
        if kind not in _FIELDS:
            faults.append({"path": f"{path}.type", "message": f"must be one of {', '.join(sorted(_FIELDS))}"})
            continue
        faults += [
            {"path": f"{path}.{name}", "message": "required field is missing"}
            for name in _FIELDS[kind]
            if name not in step
        ]
        faults += [
            {"path": f"{path}.{name}", "message": f"there is no step {step[name]!r}"}
            for name in ("then", "else", "next")
            if name in step and step[name] not in {END, *ids}
        ]
    return faults


@define
class WorkflowRun:
    """One run of a workflow."""

    execution_id: str
    definition: dict[str, Any]
    input: dict[str, Any]
    callback: TaskCallback
    status: RunStatus = RunStatus.RUNNING
    results: dict[str, Any] = field(factory=dict)
    """By step."""
    visits: Counter[str] = field(factory=Counter)
    """Number of visits of each step."""
    current_step: str | None = None
    input_request: dict[str, Any] | None = None
    """Request to the user, while the run waits for input."""
    error: str | None = None
    _scope: trio.CancelScope = field(factory=trio.CancelScope)
    _answered: trio.Event = field(factory=trio.Event)
    _answer: Any = None

    def view(self) -> dict[str, Any]:
        """Return the state of the run, as the service answers it."""
        return {
            "execution_id": self.execution_id,
            "workflow_id": self.definition["workflow_id"],
            "task_id": self.callback.task_id,
            "status": self.status,
            "steps_completed": len(self.results),
            "steps_total": len(self.definition["steps"]),
            "current_step": self.current_step,
            "input_request": self.input_request,
            "results": self.results,
            "error": self.error,
        }

    def cancel(self) -> bool:
        """Cancel; returns false where the run has ended."""
        if self.status not in {RunStatus.RUNNING, RunStatus.WAITING}:
            return False
        self.status = RunStatus.CANCELLED
        self._scope.cancel()
        return True

    def give_input(self, step_id: str, answer: Any) -> bool:
        """Give a waiting step its input; returns false where the run does not wait there."""
        if self.status is not RunStatus.WAITING or self.current_step != step_id:
            return False
        self.status, self.input_request = RunStatus.RUNNING, None
        self._answer = answer
        self._answered.set()
        return True

    async def run(self) -> None:
        """Run the steps one by one, and report each to the orchestrator."""
        with self._scope:
            try:
                await self._take_steps()
            except StepFailed as error:
                self.status, self.error = RunStatus.FAILED, str(error)
                await self.callback.fail("WFLOW_EXEC_001", str(error))
            else:
                self.status, self.current_step = RunStatus.COMPLETED, None
                await self.callback.complete({"execution_id": self.execution_id, "results": self.results})

    async def _take_steps(self) -> None:
        steps = {step["step_id"]: step for step in self.definition["steps"]}
        order = [*steps, END]
        name, taken = order[0], 0
        while name != END:
            taken += 1
            if taken > MAX_STEPS:
                raise StepFailed("The workflow goes in circles.")
            self.current_step = name
            self.visits[name] += 1
            await self._tell()
            step = steps[name]
            result = await self._take(step)
            self.results[name] = result
            following = order[order.index(name) + 1]
            name = step["then" if result else "else"] if step["type"] == "branch" else step.get("next", following)

    async def _take(self, step: dict[str, Any]) -> Any:
        match step["type"]:
            case "branch":
                when = step["when"]
                return self._resolve(when["path"]) == when["equals"]
            case "input":
                return await self._ask_user(step)
            case "agent":
                query = self._resolve(step["query"])
                query = query if isinstance(query, str) else str(query)
                return await self._ask_orchestrator(step, {"agent_id": step["agent_id"], "query": query})
        parameters = {name: self._resolve(value) for name, value in step["parameters"].items()}
        return await self._ask_orchestrator(step, {"tool_id": step["tool_id"], "parameters": parameters})

    async def _ask_user(self, step: dict[str, Any]) -> Any:
        self._answered = trio.Event()
        self.status = RunStatus.WAITING
        self.input_request = {"node_id": step["step_id"], "prompt": step["prompt"], "schema": step.get("schema")}
        await self._tell()
        with trio.move_on_after(INPUT_PATIENCE):
            await self._answered.wait()
            return self._answer
        raise StepFailed(f"{step['step_id']} got no input in time.")

    async def _ask_orchestrator(self, step: dict[str, Any], fields: dict[str, Any]) -> Any:
        body = {
            "task_id": self.callback.task_id,
            "execution_id": self.execution_id,
            "workflow_id": self.definition["workflow_id"],
            "step_id": step["step_id"],
            "type": step["type"],
            "visit": self.visits[step["step_id"]],
            **fields,
        }
        try:
            data = await self.callback.gateway.ask(
                self.callback.tenant_id,
                "workflow.step",
                body,
                correlation_id=self.callback.correlation_id,
                callback_token=self.callback.token,
            )
        except GatewayRefused as error:
            raise StepFailed(str(error)) from error
        if data.get("status", "success") not in {"success", "completed"}:
            raise StepFailed(str(data.get("error_message") or f"{step['step_id']} failed"))
        return data.get("result")

    async def _tell(self) -> None:
        view = self.view()
        del view["results"], view["error"]
        if self.input_request is None:
            del view["input_request"]
        progress = view["steps_completed"] / view["steps_total"]
        await self.callback.progress(**{**view, "progress": progress})

    def _resolve(self, value: Any) -> Any:
        """Return a value, with `$.input.x` and `$.steps.y.result` resolved."""
        if not isinstance(value, str) or not value.startswith("$."):
            return value
        first, name, *rest = value[2:].split(".")
        found = self.input.get(name) if first == "input" else self.results.get(name)
        for part in rest[1:] if first == "steps" else rest:
            found = found.get(part) if isinstance(found, dict) else None
        return found
