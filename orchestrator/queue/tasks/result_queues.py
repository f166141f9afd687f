"""Results as they are sent to the services that have asked for the work, as tasks: none is lost with a process."""

from typing import Any, Final

from attrs import frozen

from orchestrator.codec import encode, unstructure
from orchestrator.errors import NotFound
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Task, TaskMessage
from orchestrator.queue.tasks.plain_tasks import PlainAttempt, PlainTasks
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.tasks.result_queues import RESULT
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.result_queues import ResultQueues
from orchestrator.store.tasks.tasks import TaskStore


@frozen
class ResultSender:
    """What the sending of a result consists of.

    Args:
        tasks: where the task is that has ended.
        queues: where its result goes.
    """

    tasks: TaskStore
    queues: ResultQueues

    async def __call__(self, run: PlainAttempt) -> Any:
        """Send the result of a task that has ended.

        Raises:
            NotFound: its record is gone.
        """
        message = run.message
        task_id, service = message.payload["task_id"], message.payload["service"]
        task = await self.tasks.get(
            Viewer(message.tenant_id, message.metadata.user_id, sees_whole_tenant=True), task_id
        )
        if task is None:
            raise NotFound(f"There is no task {task_id}.")
        await self.queues.send(message.tenant_id, service, encode(_result(message, task, service)))
        return {"sent": True}


def _result(message: TaskMessage, task: Task, service: str) -> dict[str, Any]:
    """Return what a service is told of the end of a task, as a message of schema 1.1."""
    domain, _, _ = task.type.partition(".")
    told: dict[str, Any] = {
        # The same however often it is sent, so that a service knows it again.
        "message_id": message.message_id,
        "task_id": task.task_id,
        "original_task_id": task.task_id,
        "tenant_id": task.tenant_id,
        "correlation_id": task.correlation_id,
        "created_at": to_timestamp(now_ms()),
        "schema_version": "1.1",
        "status": task.status,
        "type": {"domain": domain, "action": "result" if task.error is None else "error"},
        "priority": task.priority,
        "source_service": "agent_orchestrator",
        "target_service": service,
        "metadata": {
            **message.metadata.carried,
            "user_id": task.user_id,
            "trace_id": message.metadata.trace_id,
            "source_task_id": task.task_id,
            "completed_at": task.finished_at,
            **({} if task.cancelled_by is None else {"cancelled_by": task.cancelled_by}),
        },
        "payload": {"result": task.result},
    }
    if task.session_id is not None:
        told["session_id"] = task.session_id
    if task.error is not None:
        told["error"] = unstructure(task.error)
    return told


def _handler(deps: TaskDeps) -> PlainTasks:
    stores = deps.core.stores
    return PlainTasks(deps.queue, stores.plain_tasks, ResultSender(stores.tasks, stores.result_queues))


result_sender: Final = RunnableKind(RESULT, _handler)
