"""The importer: makes tasks of claimed entries of other programs, beside the scheduler.

What an entry tells may have to wait: news for the call that they are of, changes of an agent for Agent Management. The
scheduler serves all tenants, and waits for none of that. Entries of one tenant come one after the other, in the order
in which they were claimed.
"""

from collections import deque
from collections.abc import Callable, Iterable

import structlog
import trio
from attrs import define, field

from orchestrator.errors import StoreUnavailable
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.external_entries import import_entry
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.tasks.enqueue import ExternalEntry

_log = structlog.get_logger()


@define(eq=False)
class Importer:
    """Imports entries; each has a slot from its claim until it is imported.

    Args:
        services: what the queue works with.
        begun: told of the tenant of each entry in hand.
        ended: told when it is no longer in hand.
        doubt: told of a tenant whose entries could not be imported, since Redis was away: they are to be taken back.
    """

    services: QueueServices
    begun: Callable[[str], None] = lambda _: None
    ended: Callable[[str], None] = lambda _: None
    doubt: Callable[[str], None] = lambda _: None
    nursery: trio.Nursery | None = field(default=None, init=False)
    """Where it works; None: an entry is imported by who takes it, as at a stop, when nothing else is claimed."""
    _waiting: dict[str, deque[ExternalEntry]] = field(factory=dict, init=False)
    """Entries in hand, by tenant; the first one of each is being imported."""

    @property
    def in_hand(self) -> int:
        """How many entries are in hand."""
        return sum(map(len, self._waiting.values()))

    async def take(self, entries: Iterable[ExternalEntry]) -> None:
        """Import what was claimed; an entry that is in hand already, since it was taken back, is imported once."""
        for entry in entries:
            if self.nursery is None:
                await import_entry(self.services, entry)
                continue
            waiting = self._waiting.get(entry.tenant_id)
            if waiting is None:
                waiting = self._waiting[entry.tenant_id] = deque()
                self.nursery.start_soon(self._import_all, entry.tenant_id, waiting)
            if not any((one.lane, one.entry) == (entry.lane, entry.entry) for one in waiting):
                waiting.append(entry)
                self.begun(entry.tenant_id)

    async def _import_all(self, tenant_id: str, waiting: deque[ExternalEntry]) -> None:
        try:
            while waiting:
                with isolate_tenant(tenant_id):
                    await import_entry(self.services, waiting[0])
                waiting.popleft()
                self.ended(tenant_id)
        except* StoreUnavailable as outage:
            _log.warning("entry.store_unavailable", tenant_id=tenant_id, error=str(outage.exceptions[0]))
            self.doubt(tenant_id)
        finally:
            del self._waiting[tenant_id]
            for _ in waiting:
                self.ended(tenant_id)
