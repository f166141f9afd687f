"""WebSockets: sessions followed live, and spoken to."""

from quart import Response, websocket
from quart_trio import QuartTrio

from orchestrator.services.container import Services
from orchestrator.websocket.connection_manager import ConnectionManager
from orchestrator.websocket.opening import SessionSocket
from orchestrator.websocket.wire import ShowsSend

__all__ = ["ConnectionManager", "manager_of", "register"]


def register(app: QuartTrio, services: Services) -> ConnectionManager:
    """Add `/ws/v1/chat/{session_id}` to the application; `middleware.install` comes first.

    Returns:
        Its sockets; `manager_of` finds them again.
    """
    manager = ConnectionManager(services.settings)
    sockets = SessionSocket(
        services,
        manager,
        app.extensions["authenticator"],
        app.extensions["remote_address"],
        app.extensions["answer_headers"],
    )
    app.asgi_websocket_class = ShowsSend

    async def chat(session_id: str) -> Response | None:
        opened = websocket._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 # the documented way
        return await sockets.serve(opened, session_id)

    app.add_websocket("/ws/v1/chat/<session_id>", "ws_chat", chat)
    app.extensions["connection_manager"] = manager
    return manager


def manager_of(app: QuartTrio) -> ConnectionManager:
    """Return the sockets of an application: at the end, `close_all` tells them."""
    manager: ConnectionManager = app.extensions["connection_manager"]
    return manager
