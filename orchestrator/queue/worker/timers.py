"""Timers: delayed tasks come back when they are due, and schedules run."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import CancelledBy
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.services.shared.views import state_body, status_template
from orchestrator.services.tasks.tasks import retention_of

_LONGEST_WAIT: Final = 5.0
"""Other processes delay tasks too; theirs are noticed at the latest after so many seconds."""
_AT_ONCE: Final = 100

RunSchedules = Callable[[str], Awaitable[int | None]]
"""Runs the schedules of a tenant that are due; returns the moment (ms) at which to look again."""


async def run_timers(
    services: QueueServices,
    run_schedules: RunSchedules | None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Release delayed tasks and run schedules, for ever; `started` after the first turn."""
    begun = False
    while True:
        tenants, seconds = await services.due.take()
        for tenant_id in tenants:
            with isolate_tenant(tenant_id):
                await _release(services, tenant_id)
                if run_schedules is not None and (following := await run_schedules(tenant_id)) is not None:
                    await services.due.mark(tenant_id, following)
        if not begun:
            begun = True
            task_status.started()
        if not tenants:
            await services.due.wait(_LONGEST_WAIT if seconds is None else min(_LONGEST_WAIT, seconds))


async def _release(services: QueueServices, tenant_id: str) -> None:
    """Release what is due of a tenant, and note when the next is."""
    _, following = await services.tasks.release_due(
        tenant_id,
        _AT_ONCE,
        state_template=state_body(tenant_id, "@session", SessionState.PROCESSING, "@correlation", "@task"),
        cancelled_template=status_template(tenant_id, MessageStatus.CANCELLED, "@correlation", by=CancelledBy.SYSTEM),
        retention=retention_of(services.settings),
    )
    # Due is also a tenant whose rate of starts allows the next one: released or not, there may be work.
    await services.ready.mark(tenant_id)
    if following is not None:
        await services.due.mark(tenant_id, following)
