"""Workflows: plans that run as tasks of their own, known to the Workflow Engine or sent with the request."""

from enum import StrEnum
from typing import Annotated, Any, Final

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.ids import ID_PATTERN, Id
from orchestrator.models.common.timestamps import Moment, Timestamp
from orchestrator.models.plans.plan_request import PlanRequest
from orchestrator.models.sessions.session import Metadata
from orchestrator.models.tasks.batch import CallbackStatus, ItemResult
from orchestrator.models.tasks.task import WHO_CANCELLED, CancelledBy, TaskStatus

PRIORITY: Final = 3
"""A user waits for it, if not by the second."""

Input = Annotated[dict[str, Any], Meta(description="What the workflow works on: `$.input` in its references.")]
NodeId = Annotated[
    str, Meta(min_length=1, max_length=256, description="The node of the workflow that waits for its user.")
]


class WorkflowMode(StrEnum):
    """How `workflow.execute` answers."""

    ASYNC = "async"
    WAIT = "wait"
    STREAM = "stream"


class WorkflowEnd(StrEnum):
    """What a callback may tell of: how a workflow has ended."""

    COMPLETED = "workflow.completed"
    PARTIAL = "workflow.partial"
    FAILED = "workflow.failed"
    CANCELLED = "workflow.cancelled"


@frozen
class WorkflowCallback:
    """Whom to tell of a workflow's end."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, description="Where to; http or https.")]
    events: Annotated[list[WorkflowEnd], Meta(min_length=1, max_length=4, description="Of which ends.")] = field(
        factory=lambda: list(WorkflowEnd)
    )


@frozen
class WorkflowCallbackState:
    """Who is told of a workflow's end, and what became of that."""

    url: str
    events: list[WorkflowEnd]
    status: CallbackStatus
    attempts: Annotated[int, Meta(ge=0, description="How many times it was sent, or about to be.")] = 0
    last_attempt_at: Timestamp | None = None
    last_error: Annotated[ErrorBody | None, Meta(description="Why the last attempt failed.")] = None


@frozen
class WorkflowExecute:
    """What `workflow.execute` takes: a workflow that the Workflow Engine knows, or a plan."""

    workflow_id: Annotated[Id | None, Meta(description="A workflow of the Workflow Engine.")] = None
    plan: Annotated[PlanRequest | None, Meta(description="A plan of one's own, instead.")] = None
    input: Input = field(factory=dict)
    session_id: Annotated[Id | None, Meta(description="An open session of the caller that is told, too.")] = None
    callback: WorkflowCallback | None = None
    mode: WorkflowMode = WorkflowMode.ASYNC
    timeout_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="How long `wait` and `stream` wait for the end, in ms.")
    ] = 30_000
    scheduled_for: Moment = None
    priority: Annotated[
        int | None, Meta(ge=0, le=9, description="0 to 3: the high lane; 4 to 6: normal; 7 to 9: low. Default: 3.")
    ] = None
    metadata: Metadata = field(factory=dict)
    context: Annotated[
        dict[str, Any] | None, Meta(description="What the Workflow Engine is given beside the input of its workflow.")
    ] = None


@frozen
class WorkflowAccepted:
    """A workflow that was taken; `workflow.status` shows how it goes."""

    task_id: Id
    workflow_id: Annotated[Id, Meta(description="The workflow; of a plan, its id.")]
    status: TaskStatus = TaskStatus.PENDING
    session_id: Id | None = None
    scheduled_for: Timestamp | None = None


@frozen
class WorkflowStatusUpdate:
    """How far a workflow is."""

    task_id: Id
    workflow_id: Id
    status: TaskStatus
    progress: Annotated[float, Meta(ge=0, le=1, description="The share of its steps that is done.")] = 0.0
    steps_completed: Annotated[int, Meta(ge=0)] = 0
    steps_total: Annotated[int, Meta(ge=0, description="0: not known yet.")] = 0
    current_step: str | None = None
    status_message: str | None = None
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None


@frozen
class WorkflowInputRequest:
    """A workflow waits for its user."""

    task_id: Id
    node_id: NodeId
    prompt: str
    schema: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of the input.")] = None


class RunKind(StrEnum):
    """What runs under the id of a run."""

    WORKFLOW = "workflow"
    BATCH = "batch"
    TASK = "task"
    """A task that is no workflow, such as a turn or a run of a tool."""


@frozen
class WorkflowStatus:
    """How a workflow stands."""

    task_id: Id
    workflow_id: Id
    status: TaskStatus
    progress: Annotated[float, Meta(ge=0, le=1, description="The share of its steps that is done.")]
    steps_completed: Annotated[int, Meta(ge=0)]
    steps_total: Annotated[int, Meta(ge=0, description="0: not known yet.")]
    attempt: Annotated[int, Meta(description="How many times its task was claimed.")]
    created_at: Timestamp
    correlation_id: Id
    current_step: str | None = None
    status_message: str | None = None
    input_request: Annotated[
        WorkflowInputRequest | None, Meta(description="What it asks its user, while it waits for that.")
    ] = None
    session_id: Id | None = None
    scheduled_for: Timestamp | None = None
    started_at: Timestamp | None = None
    updated_at: Annotated[Timestamp | None, Meta(description="When something was last heard of it.")] = None
    finished_at: Timestamp | None = None
    metadata: Metadata = field(factory=dict)
    callback: WorkflowCallbackState | None = None
    kind: Annotated[RunKind, Meta(description="What runs.")] = RunKind.WORKFLOW
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None


@frozen
class WorkflowResults:
    """What a workflow has given: all of it once it has ended, before that what is there."""

    task_id: Id
    workflow_id: Id
    status: TaskStatus
    result: Annotated[dict[str, Any] | None, Meta(description="Its result, once it is completed.")] = None
    error: Annotated[ErrorBody | None, Meta(description="Why it has failed.")] = None
    calls: Annotated[dict[str, Any], Meta(description="The results of its calls that are done, by name.")] = field(
        factory=dict
    )
    took_ms: Annotated[
        dict[str, int], Meta(description="How long each of these calls took, since what was done before it, in ms.")
    ] = field(factory=dict)
    finished_at: Timestamp | None = None
    items: Annotated[
        list[ItemResult] | None, Meta(description="Of a batch: some of its items, in their order, and their results.")
    ] = None


@frozen
class WorkflowInput:
    """What `workflow.input` takes: the answer of the user whom a workflow waits for."""

    node_id: NodeId
    input: Annotated[Any, Meta(description="The answer, as the request's schema asks for it.")] = field()


@frozen
class WorkflowInputFrame:
    """The answer of the user whom a workflow waits for."""

    node_id: NodeId
    input: Any = field()
    task_id: Annotated[
        Id | None, Meta(description="The workflow; default: the socket's, or the session's that asked at this node.")
    ] = None


@frozen
class WorkflowCancel:
    """Stop a workflow."""

    task_id: Annotated[Id | None, Meta(description="Default: the socket's.")] = None
    reason: Annotated[str | None, Meta(max_length=500)] = None


@frozen
class RunCancel:
    """What `workflow.cancel` takes; all of it may be left out."""

    reason: Annotated[str | None, Meta(max_length=500, description="Why; told of a workflow, kept with a task.")] = None
    quietly: Annotated[
        bool, Meta(description="Whether the session that a workflow tells hears nothing of it any more.")
    ] = False


@frozen
class WorkflowInputTaken:
    """That the answer of a user was handed to the workflow."""

    task_id: Id
    node_id: NodeId
    accepted: bool = True


@frozen
class WorkflowCancelled:
    """Whether a workflow was stopped; false when it had already ended."""

    task_id: Id
    cancelled: bool


@frozen
class WorkflowDefinition:
    """A workflow that the Workflow Engine knows."""

    workflow_id: str
    name: str = ""
    description: str = ""
    version: str = ""
    steps: Annotated[list[dict[str, Any]], Meta(description="As the Workflow Engine describes them.")] = field(
        factory=list
    )


class StepType(StrEnum):
    """What a step of a workflow is run by."""

    AGENT = "agent"
    TOOL = "tool"


@frozen
class WorkflowStep:
    """What `workflow.step` takes: the Workflow Engine has an agent or a tool run."""

    task_id: Id
    step_id: NodeId
    type: StepType
    execution_id: Annotated[str | None, Meta(max_length=128)] = None
    workflow_id: Annotated[str | None, Meta(max_length=128)] = None
    agent_id: Annotated[Id | None, Meta(description="Of an agent.")] = None
    query: Annotated[str | None, Meta(max_length=262_144, description="What the agent is asked.")] = None
    tool_id: Annotated[str | None, Meta(pattern=ID_PATTERN, description="Of a tool.")] = None
    parameters: Annotated[dict[str, Any], Meta(description="The tool's parameters.")] = field(factory=dict)
    visit: Annotated[
        int,
        Meta(ge=1, le=10_000, description="How often the run has come by this step; the same in a repeated request."),
    ] = 1


class StepStatus(StrEnum):
    """How a step ended."""

    SUCCESS = "success"
    ERROR = "error"


@frozen
class StepResult:
    """What a step of a workflow gave."""

    status: StepStatus
    result: Any = None
    error_message: str | None = None
