"""Timers: delayed tasks come back when they are due."""

from typing import Final

import structlog
import trio

from orchestrator.errors import StoreUnavailable
from orchestrator.queue.services import QueueServices

_log = structlog.get_logger()

_LONGEST_WAIT: Final = 5.0
"""Other processes delay tasks too; theirs are noticed at the latest after so many seconds."""
_AT_ONCE: Final = 100


async def run_timers(services: QueueServices) -> None:
    """Release delayed tasks, for ever."""
    while True:
        try:
            tenants, seconds = await services.due.take()
            for tenant_id in tenants:
                await _release(services, tenant_id)
            if not tenants:
                await services.due.wait(_LONGEST_WAIT if seconds is None else min(_LONGEST_WAIT, seconds))
        except StoreUnavailable as error:
            _log.warning("timers.store_unavailable", error=error.message)
            await trio.sleep(1)


async def _release(services: QueueServices, tenant_id: str) -> None:
    """Release what is due of a tenant, and note when the next is."""
    _, following = await services.tasks.release_due(tenant_id, _AT_ONCE)
    # Due is also a tenant whose rate of starts allows the next one: released or not, there may be work.
    await services.ready.mark(tenant_id)
    if following is not None:
        await services.due.mark(tenant_id, following)
