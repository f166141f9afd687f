"""The listener: hears of work that came in elsewhere, and of running tasks that shall stop."""

import trio

from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.running_task import Hand, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.store.redis.connection import Message


async def listen(
    services: QueueServices, hands: dict[str, Hand], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
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
                await stop_what_was_cancelled(services, hands)
            elif message.channel == cancel_channel:
                await _stop(services, hands, message.payload.decode())
            else:
                services.ready.wake(message.payload.decode())


async def stop_what_was_cancelled(services: QueueServices, hands: dict[str, Hand]) -> None:
    """Ask of everything in hand whether it shall stop."""
    for task_id in list(hands):
        await _stop(services, hands, task_id)


async def _stop(services: QueueServices, hands: dict[str, Hand], task_id: str) -> None:
    hand = hands.get(task_id)
    if hand is None:
        return
    key = services.keys.task(hand.claim.tenant_id, task_id)
    # Redis may be away again before it could be asked: what was cancelled is still so when it is back.
    reason = await outlast(lambda: services.redis.hget(key, "cancel"))
    if reason:
        hand.stop(StopReason(reason.decode()))
