"""Runs as the Workflow Engine tells them, in answers and in messages of its own: by the service's own names."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.dialects.runs import SAID
from orchestrator.models.tasks.task import TaskStatus

Fields = dict[str, Any]

_PERCENT: Final = 100
_PERCENTAGES: Final = ("progress_percentage", "percentage")
"""Names of a percentage."""
_OWN_WORDS: Final = frozenset({"running", "queued", "started"})
"""Words for a run that is under way; they are kept."""
_STEPS: Final = {"completed_steps": "steps_completed", "total_steps": "steps_total"}


def own_names(fields: Mapping[str, Any], documented: Mapping[str, str]) -> Fields:
    """Return fields by the service's own names; what is there by its own name already stays as it is."""
    own = dict(fields)
    for name, ours in documented.items():
        if name in own and own.get(ours) is None:
            own[ours] = own[name]
    return own


def percent(fields: Mapping[str, Any]) -> Any:
    """Return what a tool or an agent says of its progress, in percent, by whichever of the documented names."""
    told = _percentage(fields)
    return fields.get("progress") if told is None else told


def _percentage(fields: Mapping[str, Any]) -> Any:
    return next((fields[name] for name in _PERCENTAGES if fields.get(name) is not None), None)


def share(percent: Any) -> float | None:
    """Return a percentage as a number from 0 to 1; None where it is none."""
    if not isinstance(percent, int | float) or isinstance(percent, bool):
        return None
    return float(min(max(percent / _PERCENT, 0.0), 1.0))


def run_of_engine(fields: Mapping[str, Any]) -> Fields:
    """Return how the Workflow Engine says that a run stands, by the service's own names.

    Args:
        fields: those of an answer or of a message: `status`, `progress` and steps as either has them.
    """
    progress = fields.get("progress")
    counted = own_names(fields, _STEPS)
    if isinstance(progress, dict):
        counted = own_names({**progress, **counted}, {**_STEPS, "percentage": "progress_percentage"})
        counted["progress"] = None
    status = counted.get("workflow_status") or counted.get("status")
    if isinstance(status, str) and status not in _OWN_WORDS and status in SAID:
        status = SAID[status].value
    counted["status"] = status
    counted["current_step"] = _step(counted)
    part = share(_percentage(counted))
    counted["progress"] = _own_share(counted.get("progress")) if part is None else part
    if "results" not in counted and "result" in counted:
        counted["results"] = counted["result"]
    error = counted.get("error")
    if isinstance(error, dict):
        counted["error"] = ": ".join(
            str(error[name]) for name in ("code", "message") if isinstance(error.get(name), str)
        )
    return {name: value for name, value in counted.items() if value is not None or name in fields}


def _is_running(step: Any) -> bool:
    return isinstance(step, dict) and SAID.get(str(step.get("status"))) is TaskStatus.PROCESSING


def _own_share(value: Any) -> float | None:
    """Return progress as a number from 0 to 1; what is more can only be a percentage."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        return None
    return float(value) if value <= 1 else share(value)


def _step(fields: Mapping[str, Any]) -> str | None:
    """Return the step at which a run is: by its id, by the name of what runs, or as the one that follows."""
    step = fields.get("current_step")
    if isinstance(step, dict):
        step = step.get("step_id") or step.get("name")
    steps = fields.get("steps_status")
    if isinstance(steps, list):
        running = [one for one in steps if _is_running(one)]
        step = next((one.get("name") or one.get("step_id") for one in running), step)
    if not isinstance(step, str):
        step = fields.get("next_node") or fields.get("step_name") or fields.get("step_id")
    return step if isinstance(step, str) else None
