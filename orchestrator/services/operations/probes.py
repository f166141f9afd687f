"""How Redis and the services downstream are: asked at most once in a while, however often it is requested."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import define, field

from orchestrator.clients.registry import SERVICES, Clients
from orchestrator.clients.transport.transport import Transport
from orchestrator.errors import OrchestratorError, StoreUnavailable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import TraceContext
from orchestrator.services.operations.health import CHECK_SECONDS, HealthCheck

FRESH_SECONDS: Final = 2.0
"""The route is open to everybody, so the services are shielded from it: what was found holds for so long."""
WRITTEN_EVERY: Final = 1.0
"""Seconds between two writes that show whether Redis takes any."""
PROBE_SECONDS: Final = CHECK_SECONDS - 0.1
"""Less than a check may take, so that a silent service is found out before the check is given up."""


@define(eq=False)
class Probe:
    """Asks one service for its health."""

    transport: Transport
    _found: str | None = None
    _fresh_until: float = field(default=-1.0)
    _turn: trio.Lock = field(factory=trio.Lock)

    async def __call__(self) -> str | None:
        """Return None if the service is well, else what is wrong."""
        async with self._turn:
            if trio.current_time() >= self._fresh_until:
                self._found = await self._ask()
                self._fresh_until = trio.current_time() + FRESH_SECONDS
        return self._found

    async def _ask(self) -> str | None:
        request_id = new_id()
        trace = TraceContext.new()
        try:
            # On behalf of no tenant.
            await self.transport.probe(
                CallContext("", request_id, request_id, trace, trio.current_time() + PROBE_SECONDS)
            )
        except OrchestratorError as error:
            return error.message
        return None


@define(eq=False)
class WriteProbe:
    """Finds out whether Redis takes writes.

    Args:
        write: writes something that is read nowhere.
    """

    write: Callable[[], Awaitable[None]]
    _found: str | None = None
    _fresh_until: float = field(default=-1.0)
    _turn: trio.Lock = field(factory=trio.Lock)

    async def __call__(self) -> str | None:
        """Return None if it does, else why not, in Redis' own words where it has said something."""
        async with self._turn:
            if trio.current_time() >= self._fresh_until:
                self._found = await self._try()
                self._fresh_until = trio.current_time() + WRITTEN_EVERY
        return self._found

    async def _try(self) -> str | None:
        try:
            await self.write()
        except StoreUnavailable as error:
            return error.refusal or error.message
        return None


def probes_of(clients: Clients) -> dict[str, HealthCheck]:
    """Return a check for each service that is set up."""
    transports = {name: clients.transport(name) for name in SERVICES}
    return {name: Probe(transport) for name, transport in transports.items() if transport.configured}
