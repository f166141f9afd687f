"""The sockets that this process holds: how many there may be, and how all of them end."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import trio

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import ServiceUnreachable, TooManyConnections
from orchestrator.models.common.principal import Principal
from orchestrator.models.events.events import SystemReconnect
from orchestrator.websocket.closing import TOKEN
from orchestrator.websocket.connection import Connection

RETRY_MS: Final = 1000
GOING_AWAY: Final = 1012


class ConnectionManager:
    """Counts and keeps the open sockets of the process.

    Args:
        settings: the limits.
        revoked: tells whether the token that a principal came with is revoked.
    """

    def __init__(self, settings: AgentOrchestratorSettings, revoked: Callable[[Principal], bool]) -> None:
        self._revoked = revoked
        self._max_connections = settings.ws_max_connections
        self._tenant_connections = settings.ws_connections
        self._open: set[Connection] = set()
        self._places: Counter[str] = Counter()
        self._held = 0
        self._stopping: tuple[float, float] | None = None
        self._gone = trio.Event()

    def __len__(self) -> int:
        """Return how many sockets there are, those included that are just being opened or taken down."""
        return self._held

    @property
    def places(self) -> Mapping[str, int]:
        """How many sockets there are of each tenant."""
        return self._places

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    def check(self) -> None:
        """Refuse early, before credentials are looked at.

        Raises:
            TooManyConnections: the process holds as many sockets as it may.
            ServiceUnreachable: it is stopping.
        """
        if self._stopping is not None:
            raise ServiceUnreachable("The service is going away; connect again.", retry_after_ms=RETRY_MS)
        if self._held >= self._max_connections:
            raise TooManyConnections("The service takes no more connections now.", retry_after_ms=RETRY_MS)

    @contextmanager
    def place(self, tenant_id: str) -> Iterator[None]:
        """Hold a place for a socket, from before its handshake to its end.

        Raises:
            TooManyConnections: the process, or the tenant in this process, has as many as it may.
            ServiceUnreachable: the service is stopping.
        """
        self.check()
        if self._places[tenant_id] >= self._tenant_connections:
            raise TooManyConnections("The tenant has too many open connections.", retry_after_ms=RETRY_MS)
        self._places[tenant_id] += 1
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._places[tenant_id] -= 1
            if not self._places[tenant_id]:
                del self._places[tenant_id]

    @contextmanager
    def keep(self, connection: Connection) -> Iterator[None]:
        """Keep an open socket until it is gone."""
        self._open.add(connection)
        try:
            if self._stopping is not None:
                self._send_away(connection, *self._stopping)
            # It may have been revoked between the look at the token and now.
            self._end_if_revoked(connection)
            yield
        finally:
            self._open.discard(connection)
            if not self._open:
                self._gone.set()

    async def close_all(self, *, retry_after: tuple[float, float] = (0.5, 5.0), deadline: float = 4.0) -> None:
        """Tell every client to come back, close every socket with 1012, and take no more.

        Args:
            retry_after: the seconds within which clients are to come back; each is given a moment at random, so that
                they do not come all at once.
            deadline: after so many seconds, connections that are still there are dropped.
        """
        self._stopping = retry_after
        for connection in self._open:
            self._send_away(connection, *retry_after)
        with trio.move_on_after(deadline):
            while self._open:
                self._gone = trio.Event()
                await self._gone.wait()
        async with trio.open_nursery() as nursery:
            for connection in self._open:
                nursery.start_soon(connection.drop)

    def end_revoked(self) -> None:
        """Close every socket whose token is revoked."""
        for connection in self._open:
            self._end_if_revoked(connection)

    def _end_if_revoked(self, connection: Connection) -> None:
        if self._revoked(connection.principal):
            connection.end(TOKEN, "token revoked")

    def _send_away(self, connection: Connection, least: float, most: float) -> None:
        after_ms = round(random.uniform(least, most) * 1000)  # noqa: S311 # spreads load; nothing to guess
        connection.end(GOING_AWAY, "service restart", "system.reconnect", SystemReconnect(after_ms))
