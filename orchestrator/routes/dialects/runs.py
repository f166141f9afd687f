"""Documented names of runs: one id for task and batch, what is told of their results, and how they are asked for."""

from typing import Annotated, Any, Final

import orjson
from attrs import frozen
from msgspec import Meta

from orchestrator.dialects.runs import ANSWER, EXECUTE, LEAST_URGENT, MOST_PRIORITY, TOLD
from orchestrator.errors import BadGateway
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp, from_timestamp
from orchestrator.models.plans.workflow import RunKind
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.routes.dialects.reading import field_fault
from orchestrator.routes.dialects.record import Answered, Fields, RouteDialect

_OUTCOMES: Final = {
    TaskStatus.COMPLETED: "success",
    TaskStatus.PARTIAL: "success",
    TaskStatus.FAILED: "error",
    TaskStatus.CANCELLED: "error",
}


_Input = Annotated[dict[str, Any] | None, Meta(description="Another name for `input`.")]
_Answer = Annotated[Any, Meta(description="Another name for `input`.")]


@frozen
class ExecutionOptions:
    """How a workflow is run, under documented names."""

    callback_url: Annotated[str | None, Meta(max_length=2048, description="Another name for `callback.url`.")] = None
    wait_for_completion: Annotated[bool | None, Meta(description="True: another way to say `mode: wait`.")] = None
    timeout_ms: Annotated[int | None, Meta(ge=1, le=600_000, description="Another place of `timeout_ms`.")] = None
    priority: Annotated[int | None, Meta(ge=0, le=10, description="Another place of `priority`; 10 counts as 9.")] = (
        None
    )


@frozen
class ExecuteNames:
    """What `workflow.execute` takes under documented names."""

    workflow_template_id: Annotated[Id | None, Meta(description="Another name for `workflow_id`.")] = None
    input_data: _Input = None
    input_parameters: _Input = None
    inputs: _Input = None
    execution_options: ExecutionOptions | None = None


_Node = Annotated[str | None, Meta(description="Another name for `node_id`: the question, or the step that asks it.")]


@frozen
class InputNames:
    """What `workflow.input` takes under documented names."""

    request_id: _Node = None
    step_id: _Node = None
    input_data: _Answer = None
    input_parameters: _Answer = None
    inputs: _Answer = None


@frozen
class CancelNames:
    """What `workflow.cancel` takes under documented names."""

    notify_user: Annotated[bool | None, Meta(description="False: another way to say `quietly`.")] = None


@frozen
class StatusNames:
    """What is told of a run's status under documented names."""

    estimated_completion_time: Annotated[Timestamp | None, Meta(description="Not known: null.")]
    state: Annotated[TaskStatus, Meta(description="The finer one, where `status` is told in the guide's five words.")]


@frozen
class RunFailure:
    """Why a step or an item has failed."""

    code: str
    message: str


@frozen
class RunEntry:
    """What a step of a run gave, or an item of a batch."""

    item_id: Annotated[str, Meta(description="The item's own name, else its place; or the name of the step.")]
    status: Annotated[str, Meta(description="`success` or `error`; of what has not ended as in `workflow.status`.")]
    processing_time_ms: Annotated[int | None, Meta(description="How long it took, in ms; null: it has not ended.")]
    output: Annotated[dict[str, Any] | None, Meta(description="Where it succeeded.")] = None
    error: Annotated[RunFailure | None, Meta(description="Where it failed.")] = None


@frozen
class RunSummary:
    """What a run gave in all, as far as its entries are told."""

    total_items: int
    successful: int
    failed: int
    total_processing_time_ms: int


@frozen
class ResultsNames:
    """What is told of a run's results under documented names."""

    results: Annotated[list[RunEntry], Meta(description="An entry for each item of a batch, or each step of a run.")]
    summary: RunSummary


_TEXTS: Final = ("content", "response")
"""Fields of the results of agents that hold what they say."""
_OPTIONS: Final = {"timeout_ms": "timeout_ms", "priority": "priority"}
_PARTS: Final = {
    "execution_options.callback_url": "callback.url",
    "execution_options.wait_for_completion": "mode",
    **{f"execution_options.{name}": own for name, own in _OPTIONS.items()},
}


def _read_execute(fields: Fields, path: str) -> Fields:
    """Put `execution_options` where the service has them."""
    options = fields.get("execution_options")
    if "execution_options" not in fields or options is None:
        return {name: value for name, value in fields.items() if name != "execution_options"}
    place = f"{path}.execution_options"
    if not isinstance(options, dict):
        raise field_fault(place, "must be an object")
    own = {name: value for name, value in fields.items() if name != "execution_options"}
    for name, value in options.items():
        if value is None:
            continue
        target, told = _option(name, value, f"{place}.{name}")
        if target in own:
            raise field_fault(f"{place}.{name}", f"is another name for '{target}', which is given too")
        own |= {target: told}
    return own


def _read_cancel(fields: Fields, path: str) -> Fields:
    """Take what is not to be told as quiet."""
    if "notify_user" not in fields:
        return fields
    own, told = {name: value for name, value in fields.items() if name != "notify_user"}, fields["notify_user"]
    if "quietly" in own:
        raise field_fault(f"{path}.notify_user", "is another name for 'quietly', which is given too")
    if told is not None and not isinstance(told, bool):
        raise field_fault(f"{path}.notify_user", "must be true or false")
    return {**own, "quietly": told is False}


def _option(name: str, value: Any, path: str) -> tuple[str, Any]:
    if name == "callback_url":
        return "callback", {"url": value}
    if name == "wait_for_completion":
        if not isinstance(value, bool):
            raise field_fault(path, "must be true or false")
        return "mode", "wait" if value else "async"
    if name == "priority" and value == MOST_PRIORITY:
        value = LEAST_URGENT
    if name in _OPTIONS:
        return _OPTIONS[name], value
    raise field_fault(path, "is not a field of this message")


def _add_accepted(data: Fields, answered: Answered) -> None:
    """Tell a frontend of a run that was taken, or that it has waited for, in the guide's words."""
    if answered.frontend:
        data["status"] = TOLD[data["status"]]


def _add_status(data: Fields, answered: Answered) -> None:
    data["estimated_completion_time"], data["state"] = None, data["status"]
    # Workflows have words of the service's own, which stay for all but those who are frontends.
    if answered.frontend or data["kind"] != RunKind.WORKFLOW:
        data["status"] = TOLD[data["status"]]


def _add_results(data: Fields, answered: Answered) -> None:
    """Add an entry for each item of a batch or each step of a run; a failed run without steps has one of its own."""
    if data["items"] is not None:
        entries = [_of_item(item) for item in data["items"]]
    elif data["calls"]:
        entries = [_of_call(name, kept, data["took_ms"].get(name)) for name, kept in data["calls"].items()]
    else:
        took = data["took_ms"].get(data["task_id"], None if data["finished_at"] is None else 0)
        entries = [_entry(data["task_id"], data["status"], data["result"], data["error"], took)]
    data["results"] = entries
    data["summary"] = {
        "total_items": len(entries),
        "successful": sum(entry["status"] == "success" for entry in entries),
        "failed": sum(entry["status"] == "error" for entry in entries),
        "total_processing_time_ms": sum(entry["processing_time_ms"] or 0 for entry in entries),
    }
    if answered.frontend:
        data["status"] = TOLD[data["status"]]


def _of_item(item: Fields) -> Fields:
    started, finished = item["started_at"], item["finished_at"]
    took = max(0, from_timestamp(finished) - from_timestamp(started)) if started and finished else None
    name = item["item_id"] or str(item["index"])
    return _entry(name, item["status"], item["result"], item["error"], took)


def _of_call(name: str, kept: Any, took: int | None) -> Fields:
    """Read the result of a call of a plan (`result` or `error`), or of a step of the Workflow Engine."""
    fields = kept if isinstance(kept, dict) else {"result": kept}
    failed = fields.get("error") or (fields.get("error_message") if fields.get("status") == "error" else None)
    if isinstance(failed, str):
        failed = {"code": BadGateway.code, "message": failed}
    status = TaskStatus.FAILED if failed else TaskStatus.COMPLETED
    return _entry(name.removeprefix("step:"), status, fields.get("result"), failed, took or 0)


def _entry(name: str, status: str, result: Any, error: Any, took: int | None) -> Fields:
    entry: Fields = {
        "item_id": name,
        "status": _OUTCOMES.get(TaskStatus(status), TOLD[status]),
        "processing_time_ms": took,
    }
    if entry["status"] == "success":
        entry["output"] = _output(result)
    elif entry["status"] == "error":
        told = error if isinstance(error, dict) else {}
        entry["error"] = {"code": told.get("code", "CANCELLED"), "message": told.get("message", "It was cancelled.")}
    return entry


def _output(result: Any) -> Fields:
    """Return a result as an object, with its `text` where it is one, or has one."""
    if not isinstance(result, dict):
        return {"value": result, "text": result if isinstance(result, str) else orjson.dumps(result).decode()}
    text = next((result[name] for name in _TEXTS if isinstance(result.get(name), str)), None)
    return result if text is None or "text" in result else {**result, "text": text}


RUNS: Final = {
    "workflow.execute": RouteDialect(
        body=EXECUTE, parts=_PARTS, read_body=_read_execute, asks=ExecuteNames, answer=_add_accepted
    ),
    "workflow.input": RouteDialect(body=ANSWER, asks=InputNames),
    "workflow.cancel": RouteDialect(read_body=_read_cancel, asks=CancelNames),
    "workflow.status": RouteDialect(answer=_add_status, tells=StatusNames),
    "workflow.results": RouteDialect(answer=_add_results, tells=ResultsNames),
}
"""By route."""
