"""Routes of users that operators call too, with an API key and the tenant in `X-Tenant-ID` instead of a token.

They are the same routes with the same handlers; the caller sees the whole tenant, and the audit trail names the key.
"""

from typing import Final

from orchestrator.routes.http.registry import Routes
from orchestrator.routes.internal.dead_letters import dead_letter_routes
from orchestrator.routes.public.agents import agent_routes
from orchestrator.routes.public.batches import batch_routes
from orchestrator.routes.public.callbacks import callback_routes
from orchestrator.routes.public.chat import chat_routes
from orchestrator.routes.public.schedules import schedule_routes
from orchestrator.routes.public.sessions import session_routes
from orchestrator.routes.public.tasks import task_routes
from orchestrator.routes.public.tools import tool_routes
from orchestrator.routes.public.usage import usage_routes
from orchestrator.routes.public.workflows import workflow_routes
from orchestrator.routes.streams.tenant_stream import tenant_stream_routes

_OFFERED: Final = frozenset(
    {
        *("session.create", "session.list", "session.get", "session.close", "session.ticket", "agent.assign"),
        *("chat.message", "chat.cancel", "chat.history"),
        *("task.list", "task.get", "task.cancel", "task.replay", "task.trace", "task.why"),
        *("batch.create", "batch.list", "batch.get", "batch.results", "batch.cancel"),
        *("schedule.create", "schedule.list", "schedule.get", "schedule.update", "schedule.trigger", "schedule.delete"),
        *("workflow.execute", "workflow.list", "workflow.status", "workflow.cancel", "workflow.input"),
        *("agent.list", "agent.get", "tool.list", "tool.get", "tool.execute", "usage.get"),
        "callback.list",
        "event.stream",
    }
)
_FOR_SERVICES: Final = frozenset({"workflow.status"})
"""Those that services call too, with an internal API key."""
operator_routes: Final = Routes(
    [
        route.for_operators(for_services=route.name in _FOR_SERVICES)
        for routes in (
            session_routes,
            chat_routes,
            task_routes,
            callback_routes,
            dead_letter_routes,
            batch_routes,
            schedule_routes,
            workflow_routes,
            agent_routes,
            tool_routes,
            usage_routes,
            tenant_stream_routes,
        )
        for route in routes
        if route.name in _OFFERED
    ]
)
