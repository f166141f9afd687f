"""How many sockets and streams of events this process holds, in all, of a tenant and of an address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from attrs import define, field

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import TooManyConnections

RETRY_MS: Final = 1000


@define(eq=False)
class OpenStreams:
    """Counts what stays open, whether it is a WebSocket or server-sent events.

    Args:
        most: of the process.
        of_tenant: of one tenant.
        of_address: of one address.
    """

    most: int
    of_tenant: int
    of_address: int
    _open: int = field(default=0, init=False)
    _tenants: Counter[str] = field(factory=Counter, init=False)
    _addresses: Counter[str] = field(factory=Counter, init=False)

    @classmethod
    def of(cls, settings: AgentOrchestratorSettings) -> Self:
        """Return the bounds that the settings name."""
        most = settings.ws_max_connections
        return cls(most, settings.ws_connections, settings.address_connections or max(1, most // 2))

    def __len__(self) -> int:
        """Return how many are open."""
        return self._open

    @contextmanager
    def held(self, tenant_id: str, address: str) -> Iterator[None]:
        """Hold a place while something stays open.

        Raises:
            TooManyConnections: the process, the tenant or the address has as many as it may.
        """
        if self._open >= self.most:
            raise TooManyConnections("The service takes no more connections now.", retry_after_ms=RETRY_MS)
        if self._tenants[tenant_id] >= self.of_tenant:
            raise TooManyConnections("The tenant has too many open connections.", retry_after_ms=RETRY_MS)
        if self._addresses[address] >= self.of_address:
            raise TooManyConnections("This address has too many open connections.", retry_after_ms=RETRY_MS)
        self._open += 1
        self._tenants[tenant_id] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._open -= 1
            for counts, name in ((self._tenants, tenant_id), (self._addresses, address)):
                counts[name] -= 1
                if not counts[name]:
                    del counts[name]
