"""How Redis and the services downstream are: asked at most once in a while, however often it is requested."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

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
class _Remembered(ABC):
    """Finds out whether something is well, and remembers it for a while; those who ask meanwhile share one look."""

    _fresh_for: ClassVar[float]
    """Seconds for which it is remembered."""
    _found: str | None = field(default=None, init=False)
    _fresh_until: float = field(default=-1.0, init=False)
    _turn: trio.Lock = field(factory=trio.Lock, init=False)

    async def __call__(self) -> str | None:
        """Return None if it is well, else what is wrong."""
        async with self._turn:
            if trio.current_time() >= self._fresh_until:
                self._found = await self._look()
                self._fresh_until = trio.current_time() + self._fresh_for
        return self._found

    @abstractmethod
    async def _look(self) -> str | None:
        """Find it out."""


@define(eq=False)
class Probe(_Remembered):
    """Asks one service for its health."""

    _fresh_for = FRESH_SECONDS
    transport: Transport

    async def _look(self) -> str | None:
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
class WriteProbe(_Remembered):
    """Finds out whether Redis takes writes, in Redis' own words where it does not.

    Args:
        write: writes something that is read nowhere.
    """

    _fresh_for = WRITTEN_EVERY
    write: Callable[[], Awaitable[None]]

    async def _look(self) -> str | None:
        try:
            await self.write()
        except StoreUnavailable as error:
            return error.refusal or error.message
        return None


def probes_of(clients: Clients) -> dict[str, HealthCheck]:
    """Return a check for each service that is set up."""
    transports = {name: clients.transport(name) for name in SERVICES}
    return {name: Probe(transport) for name, transport in transports.items() if transport.configured}
