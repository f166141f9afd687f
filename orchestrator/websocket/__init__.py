"""WebSockets: sessions followed live, and spoken to."""

from functools import cache

import orjson
from quart import Response, request
from quart_trio import QuartTrio

from orchestrator.frameworks.quart_inside import WebsocketConnection, current_websocket
from orchestrator.middleware.exchange import JSON, Exchange, respond
from orchestrator.services.container import Services
from orchestrator.websocket.asyncapi import build_document
from orchestrator.websocket.connection_manager import ConnectionManager
from orchestrator.websocket.notifications import NotificationSocket
from orchestrator.websocket.opening import SessionSocket, WorkflowSocket
from orchestrator.websocket.task_updates import UpdateSocket

__all__ = ["ConnectionManager", "manager_of", "register"]


def register(app: QuartTrio, services: Services) -> ConnectionManager:
    """Add the sockets of sessions, workflows, batches and notifications, and `/asyncapi.json`, which describes them.

    `middleware.install` comes first.

    Returns:
        Its sockets; `manager_of` finds them again.
    """
    manager = ConnectionManager(services.settings, services.revocations.covers)
    services.metrics.watch_sockets(lambda: manager.places)
    services.revocations.watch(manager.end_revoked)
    shared = (
        services,
        manager,
        app.extensions["authenticator"],
        app.extensions["remote_address"],
        app.extensions["address_limiter"],
        app.extensions["answer_headers"],
    )
    sessions, workflows, notifications = SessionSocket(*shared), WorkflowSocket(*shared), NotificationSocket(*shared)
    app.asgi_websocket_class = WebsocketConnection

    async def chat(session_id: str) -> Response | None:
        return await sessions.serve(current_websocket(), session_id)

    async def workflow(task_id: str) -> Response | None:
        return await workflows.serve(current_websocket(), task_id)

    updates = UpdateSocket(*shared, internal_listener=app.extensions["internal_listener"])

    async def updated() -> Response | None:
        return await updates.serve_service(current_websocket())

    async def notified() -> Response | None:
        return await notifications.serve(current_websocket(), "notifications")

    @cache
    def document() -> bytes:
        return orjson.dumps(build_document(services.settings.public_url))

    async def asyncapi() -> Response:
        return respond(Exchange.begin(request.scope), document(), 200, JSON)

    app.add_websocket("/ws/v1/chat/<session_id>", "ws_chat", chat)
    app.add_websocket("/ws/v1/workflow/<task_id>", "ws_workflow", workflow)
    app.add_websocket("/ws/v1/notifications", "ws_notifications", notified)
    app.add_websocket("/internal/v1/ws/task_updates", "ws_task_updates", updated)
    app.add_url_rule("/asyncapi.json", "asyncapi", asyncapi, methods=["GET"])
    app.extensions["connection_manager"] = manager
    return manager


def manager_of(app: QuartTrio) -> ConnectionManager:
    """Return the sockets of an application: at the end, `close_all` tells them."""
    manager: ConnectionManager = app.extensions["connection_manager"]
    return manager
