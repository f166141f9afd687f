"""The listener of the internal routes: which service a client's certificate is of, and what is seen where.

Where `ORCH_INTERNAL_BIND` is set, internal routes are there only on that listener, to which only clients with a
certificate connect; on the public one they are not there at all. The API key says what a service may do, the
certificate that it is that service: both must name the same one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from quart import request, websocket
from quart_trio import QuartTrio

from orchestrator.config.constants import CLIENT_SUBJECTS
from orchestrator.errors import NotFound, PermissionMissing
from orchestrator.models.common.principal import Principal

_INTERNAL: Final = "/internal/"


class InternalListener:
    """Decides which requests may see the internal routes.

    Args:
        bind: where it listens; empty: internal routes are on the public listener, without certificates.
        subjects: `subject=service` each.
    """

    def __init__(self, bind: str, subjects: Iterable[str]) -> None:
        self._apart = bool(bind)
        self._services = {subject: name for subject, _, name in (entry.rpartition("=") for entry in subjects)}

    def install(self, app: QuartTrio) -> None:
        """Hide the internal routes of an application on the public listener."""
        if not self._apart:
            return

        async def hide() -> None:
            self._hide(request.scope)

        async def hide_socket() -> None:
            self._hide(websocket.scope)

        app.before_request(hide)
        app.before_websocket(hide_socket)

    def check(self, scope: Mapping[str, Any], principal: Principal) -> None:
        """Refuse a key that is of another service than the certificate it came with.

        Raises:
            PermissionMissing: it is, or the certificate is of no known service.
        """
        if not self._apart:
            return
        services = {self._services[subject] for subject in _subjects(scope) or () if subject in self._services}
        if not services:
            raise PermissionMissing("The client certificate is of no service that is known here.")
        if principal.name not in services:
            raise PermissionMissing("The API key is of another service than the client certificate.")

    def _hide(self, scope: Mapping[str, Any]) -> None:
        if scope["path"].startswith(_INTERNAL) and _subjects(scope) is None:
            raise NotFound("There is no such route.")


def _subjects(scope: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names in the client's certificate; None: it came over a listener that asks for none."""
    found: tuple[str, ...] | None = (scope.get("state") or {}).get(CLIENT_SUBJECTS)
    return found
