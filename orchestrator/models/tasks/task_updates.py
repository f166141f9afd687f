"""What services tell of work that was handed on to them: `task.progress`, `task.complete`, `task.fail`."""

from typing import Annotated, Any

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.tasks.task import TaskStatus

_Words = Annotated[str, Meta(max_length=2000)]
_Name = Annotated[str, Meta(max_length=256)]
_Token = Annotated[
    Annotated[str, Meta(max_length=256)] | None,
    Meta(description="The token that came with the call, where the header `X-Callback-Token` has it not."),
]


@frozen
class InputRequest:
    """A question to the user, whose answer the work waits for."""

    node_id: _Name
    prompt: _Words
    schema: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of the answer.")] = None

    @property
    def request_id(self) -> str:
        """The engine's own name of the question; else the node's."""
        return own_name(self.schema) or self.node_id


def own_name(schema: object) -> str | None:
    """Return the engine's own name of a question, which stands in the schema of its answer; None: it has none."""
    told = schema.get("x-request-id") if isinstance(schema, dict) else None
    return told if isinstance(told, str) and told else None


@frozen
class TaskProgress:
    """How far the work is."""

    task_id: Annotated[Id | None, Meta(description="As in the path.")] = None
    callback_token: _Token = None
    status: Annotated[_Name | None, Meta(description="In the service's own words.")] = None
    progress: Annotated[float | None, Meta(ge=0, le=1)] = None
    steps_completed: Annotated[int | None, Meta(ge=0)] = None
    steps_total: Annotated[int | None, Meta(ge=0)] = None
    current_step: _Name | None = None
    message: _Words | None = None
    input_request: InputRequest | None = None
    tool_request: dict[str, Any] | None = None
    execution_id: Annotated[_Name | None, Meta(description="The service's own name of the work.")] = None
    workflow_id: _Name | None = None


@frozen
class TaskComplete:
    """The work is done."""

    result: Any
    task_id: Annotated[Id | None, Meta(description="As in the path.")] = None
    callback_token: _Token = None


@frozen
class ServiceError:
    """Why the work failed, in the service's own words."""

    code: _Name
    message: _Words
    retryable: bool = False


@frozen
class TaskFail:
    """The work has failed."""

    error: ServiceError
    task_id: Annotated[Id | None, Meta(description="As in the path.")] = None
    callback_token: _Token = None


TaskUpdate = TaskProgress | TaskComplete | TaskFail

TASK_UPDATES: dict[str, type] = {
    "task.progress": TaskProgress,
    "task.complete": TaskComplete,
    "task.fail": TaskFail,
}
"""By the names that routes, frames and queue messages have."""


@frozen
class TaskUpdated:
    """What became of the news."""

    task_id: Id
    accepted: Annotated[bool, Meta(description="False where they came too late, or again: nothing has changed then.")]
    status: Annotated[TaskStatus, Meta(description="Of the task.")]


@frozen
class ServiceNews:
    """News as a service tells them that names the work by ids of its own, or of the platform."""

    service: str
    """Who works on it, such as `workflow_engine`."""
    task_ids: list[str]
    """Ids that may be the task's, the likeliest first."""
    execution_id: str
    """The service's own name of the work; empty: it is not told."""
    correlation_id: str
    """Of the request that the work is part of; empty: it is not told."""
    update: TaskUpdate
