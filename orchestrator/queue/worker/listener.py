"""The listener: hears of work that came in elsewhere, and of running tasks that shall stop."""

import trio

from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.tasks.worker_signals import CancelAsked, WorkAdded


async def listen(
    services: QueueServices,
    running_tasks: dict[str, RunningTask],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Follow what concerns the consumer, for ever."""
    async with services.signals.follow() as signals:
        services.ready.wake()
        task_status.started()
        async for signal in signals:
            match signal:
                case WorkAdded(tenant_id):
                    services.ready.wake(tenant_id)
                case CancelAsked(task_id):
                    await _stop(services, running_tasks, task_id)
                case _:
                    # Some were missed: look for both.
                    services.ready.wake()
                    await stop_what_was_cancelled(services, running_tasks)


async def stop_what_was_cancelled(services: QueueServices, running_tasks: dict[str, RunningTask]) -> None:
    """Ask of everything in hand whether it shall stop."""
    for task_id in list(running_tasks):
        await _stop(services, running_tasks, task_id)


async def _stop(services: QueueServices, running_tasks: dict[str, RunningTask], task_id: str) -> None:
    running = running_tasks.get(task_id)
    if running is None:
        return
    tenant_id = running.claim.tenant_id
    with isolate_tenant(tenant_id):
        # Redis may be away again before it could be asked: what was cancelled is still so when it is back.
        asked = await outlast(lambda: services.tasks.stop_asked(tenant_id, task_id))
        if asked is not None:
            running.obey(asked)
