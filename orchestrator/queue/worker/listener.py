"""The listener: hears of work that came in elsewhere, and of running tasks that shall stop."""

import trio

from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.redis.connection import Message


async def listen(
    services: QueueServices,
    running_tasks: dict[str, RunningTask],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Follow the channels that concern the consumer, for ever."""
    cancel_channel = services.keys.cancel_channel.encode()
    async with services.redis.subscriber() as subscriber:
        await subscriber.subscribe(services.keys.wake_channel, services.keys.cancel_channel)
        services.ready.wake()
        task_status.started()
        async for message in subscriber:
            if not isinstance(message, Message):
                # Reconnected: what was published meanwhile is lost, so look for both.
                services.ready.wake()
                await stop_what_was_cancelled(services, running_tasks)
            elif message.channel == cancel_channel:
                await _stop(services, running_tasks, message.payload.decode())
            else:
                services.ready.wake(message.payload.decode())


async def stop_what_was_cancelled(services: QueueServices, running_tasks: dict[str, RunningTask]) -> None:
    """Ask of everything in hand whether it shall stop."""
    for task_id in list(running_tasks):
        await _stop(services, running_tasks, task_id)


async def _stop(services: QueueServices, running_tasks: dict[str, RunningTask], task_id: str) -> None:
    running = running_tasks.get(task_id)
    if running is None:
        return
    key = services.keys.task(running.claim.tenant_id, task_id)
    with isolate_tenant(running.claim.tenant_id):
        # Redis may be away again before it could be asked: what was cancelled is still so when it is back.
        reason = await outlast(lambda: services.redis.hget(key, "cancel"))
        if reason:
            running.stop(StopReason(reason.decode()))
