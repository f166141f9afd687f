"""Expiry: turns that were not started in time are given up, also where no process claims them."""

from typing import Final

import structlog

from orchestrator.codec import encode
from orchestrator.errors import TaskExpired
from orchestrator.models.events.events import Trouble
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.views import state_body, status_template
from orchestrator.services.tasks.tasks import retention_of
from orchestrator.store.events.frames import make_body
from orchestrator.store.tasks.tasks import Expiry

_log = structlog.get_logger()

_LOOKED_AT: Final = 100
"""So many tasks of each lane, the oldest: they are the first whose time is over, and the sweep comes back."""


def expired() -> TaskExpired:
    """Say that a message was not started in time."""
    return TaskExpired("The message waited for too long and was given up; send it again.")


async def give_up_expired(services: QueueServices, tenant_id: str) -> int:
    """Give up what waits for too long in a tenant; returns how many turns."""
    given_up, more = await services.tasks.expire(
        tenant_id, _LOOKED_AT, _expiry(tenant_id), retention_of(services.settings)
    )
    if given_up:
        error = expired()
        _log.warning(
            "task.failed", tenant_id=tenant_id, tasks=given_up, error_code=error.code, http_status=error.status
        )
    if more:
        await services.ready.mark(tenant_id)
    return given_up


def _expiry(tenant_id: str) -> Expiry:
    error = expired().body("@correlation")
    return Expiry(
        error=encode(error),
        trouble_body=make_body(
            "system.error", Trouble(error, parent_id="@message"), tenant_id=tenant_id, correlation_id="@correlation"
        ),
        status_body=status_template(tenant_id, MessageStatus.FAILED, "@correlation"),
        state_body=state_body(tenant_id, "@session", SessionState.ERROR, "@correlation"),
    )
