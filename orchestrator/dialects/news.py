"""News of work that services have taken on, in the messages of the documents: progress, results and failures."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.codec import structure
from orchestrator.dialects.engine_runs import percent, run_of_engine, share
from orchestrator.dialects.failures import failure_in, read_failure
from orchestrator.dialects.runs import SAID
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.task_updates import (
    InputRequest,
    ServiceError,
    ServiceNews,
    TaskComplete,
    TaskFail,
    TaskProgress,
    TaskUpdate,
)

Fields = Mapping[str, Any]

SERVICES: Final = {"workflow": "workflow_engine", "tool": "tool_registry", "agent": "agent_execution"}
"""The service that tells news of a domain."""
_OF_CONVERSATION: Final = "conversation.update"
_CONVERSATION: Final = frozenset({"conversation", "conversation_service"})
_WORDS: Final = 2000
_NAME: Final = 256
_ENDED_BADLY: Final = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
QUESTION: Final = {
    "request_id": "x-request-id",
    "input_type": "x-input-type",
    "timeout_ms": "x-timeout-ms",
    "required": "x-required",
}
"""What is said of a question, and where it stands in the schema of its answer."""
_TYPES: Final = {"confirm": "boolean", "number": "number", "text": "string", "form": "object"}


def is_news(content: Fields) -> bool:
    """Tell whether a message is news of work, rather than a request for some."""
    return _kind(content) in _NEWS


def is_of_conversation(content: Fields) -> bool:
    """Tell whether a message is Conversation's news of a conversation, of which nothing is kept here.

    The documents have the same type for a message to Conversation, of what it shall store: the sender tells them apart.
    """
    sender = content.get("source_service", content.get("source"))
    told_by = sender.replace("-", "_") if isinstance(sender, str) else ""
    return _kind(content) == _OF_CONVERSATION and told_by in _CONVERSATION


def _kind(content: Fields) -> str:
    """Return the type of a message, `domain.action`, however it is written; empty where there is none."""
    kind = content.get("type")
    if isinstance(kind, dict):
        return f"{kind.get('domain')}.{kind.get('action')}"
    return kind if isinstance(kind, str) else ""


def read_news(content: Fields, *, kind: str | None = None, named: str | None = None) -> ServiceNews:
    """Read news.

    Args:
        content: the message, with its fields in `payload` or `data`.
        kind: its type, `domain.action`; None: as it says.
        named: the run or task that it is about, where its path names it.

    Raises:
        InvalidBody: it is none, or a field of it is malformed.
    """
    said = _kind(content)
    name = said if said in _NEWS and (kind is None or said.endswith(".error")) else kind or said
    read = _NEWS.get(name)
    if read is None:
        raise InvalidBody(
            "The message is no news of work.",
            details=[FieldFault("$.type", f"must be one of {', '.join(sorted(_NEWS))}")],
        )
    metadata, payload = _object(content.get("metadata")), _body(content)
    names = (
        named,
        content.get("original_task_id"),
        metadata.get("source_task_id"),
        payload.get("original_task_id"),
        payload.get("task_id"),
        content.get("task_id"),
    )
    execution = payload.get("execution_id") or metadata.get("execution_id") or named
    correlation = content.get("correlation_id")
    update = _failed(content) if failure_in(content) is not None else read(content, payload)
    return ServiceNews(
        service=SERVICES[name.partition(".")[0]],
        task_ids=[one for one in names if isinstance(one, str) and is_id(one)],
        execution_id=execution if isinstance(execution, str) else "",
        correlation_id=correlation if isinstance(correlation, str) and is_id(correlation) else "",
        update=update,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _body(content: Fields) -> dict[str, Any]:
    return _object(content.get("payload")) or _object(content.get("data"))


def _text(value: Any, longest: int) -> str | None:
    return value[:longest] if isinstance(value, str) and value else None


def _progress(fields: Fields, payload: Fields) -> TaskProgress:
    told = {
        "status": _text(fields.get("status"), _NAME),
        "progress": fields.get("progress"),
        "steps_completed": _count(fields.get("steps_completed")),
        "steps_total": _count(fields.get("steps_total")),
        "current_step": _text(fields.get("current_step"), _NAME),
        "message": _text(
            next(
                (
                    payload[name]
                    for name in ("message", "decision_made", "status_detail", "result_summary")
                    if payload.get(name)
                ),
                None,
            ),
            _WORDS,
        ),
        "execution_id": _text(payload.get("execution_id"), _NAME),
    }
    return structure({name: value for name, value in told.items() if value is not None}, TaskProgress, "$.payload")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _run(_: Fields, payload: Fields) -> TaskUpdate:
    """Read `workflow.status` in either form."""
    return _progress(run_of_engine(payload), payload)


def _started(_: Fields, payload: Fields) -> TaskUpdate:
    total = _count(payload.get("estimated_steps"))
    return _progress({"status": "running", "progress": 0.0, "steps_completed": 0, "steps_total": total}, payload)


def _step(_: Fields, payload: Fields) -> TaskUpdate:
    told = run_of_engine(payload)
    # The status of a step is not that of the run.
    current = payload.get("step_name") or payload.get("step_id")
    steps = _object(payload.get("progress")).get("current_step")
    return _progress({**told, "status": "running", "current_step": current, "steps_completed": steps}, payload)


def _ended(content: Fields, payload: Fields) -> TaskUpdate:
    """Read the end of a run: `workflow.result`, `workflow.completed`, `workflow.complete`."""
    status = SAID.get(str(payload.get("status") or content.get("status")), TaskStatus.COMPLETED)
    if status in _ENDED_BADLY:
        return _failed(content)
    if status is TaskStatus.WAITING:
        return _progress({"status": TaskStatus.WAITING.value}, payload)
    for name in ("result", "results", "output"):
        if name in payload:
            return TaskComplete(payload[name])
    return TaskComplete({name: value for name, value in payload.items() if name != "execution_id"})


def _asks(_: Fields, payload: Fields) -> TaskUpdate:
    node = payload.get("step_id") or payload.get("node_id") or payload.get("request_id")
    schema = dict(_object(payload.get("schema")))
    schema |= {place: payload[name] for name, place in QUESTION.items() if payload.get(name) is not None}
    options = payload.get("options")
    if isinstance(options, list) and options:
        schema["oneOf"] = [
            {"const": one.get("value"), "title": str(one.get("label", one.get("value")))}
            if isinstance(one, dict)
            else {"const": one, "title": str(one)}
            for one in options
        ]
    elif isinstance(kind := payload.get("input_type"), str) and kind in _TYPES:
        schema.setdefault("type", _TYPES[kind])
    told = {"node_id": node, "prompt": payload.get("prompt"), "schema": schema or None}
    question = structure({name: value for name, value in told.items() if value is not None}, InputRequest, "$.payload")
    return TaskProgress(status=TaskStatus.WAITING.value, current_step=_text(node, _NAME), input_request=question)


def _tool_ended(content: Fields, payload: Fields) -> TaskUpdate:
    status = SAID.get(str(payload.get("status") or content.get("status")), TaskStatus.COMPLETED)
    if status in _ENDED_BADLY:
        return _failed(content)
    return TaskComplete({"status": "completed", "result": payload.get("result")})


def _work(_: Fields, payload: Fields) -> TaskUpdate:
    """Read the progress of a tool or an agent, in percent."""
    told = dict(payload)
    told["progress"] = share(percent(payload))
    return _progress(told, payload)


def _answered(_: Fields, payload: Fields) -> TaskUpdate:
    return TaskComplete(payload)


def _failed(content: Fields, _: Fields | None = None) -> TaskFail:
    told = read_failure(content)
    details = _object(_body(content).get("execution_details")).get("error")
    words = told.words or (details if isinstance(details, str) else None) or "the work has failed"
    return TaskFail(ServiceError((told.code or "FAILED")[:_NAME], words[:_WORDS], told.retryable is True))


_NEWS: Final[dict[str, Callable[[Fields, Fields], TaskUpdate]]] = {
    "workflow.started": _started,
    "workflow.step_update": _step,
    "workflow.status": _run,
    "workflow.update": _run,
    "workflow.input_request": _asks,
    "workflow.result": _ended,
    "workflow.completed": _ended,
    "workflow.complete": _ended,
    "workflow.results": _ended,
    "workflow.error": _failed,
    "tool.result": _tool_ended,
    "tool.status": _work,
    "tool.progress": _work,
    "tool.error": _failed,
    "agent.response": _answered,
    "agent.status": _work,
    "agent.error": _failed,
}
"""By type."""
