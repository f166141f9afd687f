"""Puts tasks aside that wait for an answer."""

from collections.abc import Mapping, Sequence

from orchestrator.models.tasks.waits import Wait
from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.store.tasks.claims import Claim


async def put_aside(
    services: QueueServices,
    claim: Claim,
    session_id: str,
    waits: Sequence[Wait],
    requests: Mapping[str, tuple[str, bytes]] | None = None,
) -> None:
    """Put a task aside until one of its waits is answered or given up; it holds no slot meanwhile.

    Args:
        services: what the queue works with.
        claim: the task.
        session_id: whose log is told; empty: the task's own.
        waits: what it waits for, at least one.
        requests: name and body of the event that asks for an answer, by call, where one does.

    Raises:
        FencedOut: another process has taken the task over.
    """
    moment = await outlast(lambda: services.tasks.park(claim, session_id, waits, requests or {}))
    if moment:
        await outlast(lambda: services.due.mark(claim.tenant_id, moment))
    # It was answered meanwhile; or a tenant at its bound of tasks in hand waits for one of them to leave.
    await outlast(lambda: services.ready.mark(claim.tenant_id))
