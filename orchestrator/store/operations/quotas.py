"""How much of their quotas tenants use, and what was dropped because a list was full."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from orchestrator.models.operations.tenant import Quota
from orchestrator.store.records import moment
from orchestrator.store.redis.errors import NotPermitted
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_READ: Final = Script("operations/read_quotas")
_WATCH: Final = Script("operations/watch_quotas")

QUOTAS: Final = ("concurrency", "sessions", "queue_length", "batches", "schedules", "bytes")
"""The limits that count what is there, in the order in which the scripts have them."""


@frozen
class QuotaNews:
    """What operators are to be told of a tenant."""

    nearly_reached: Mapping[str, Quota]
    """Quotas of which 80% or more is used, and that were not told of yet."""
    dropped: Mapping[str, int]
    """How much was dropped because a list was full, by kind."""


class QuotaStore(TenantStore):
    """Counts what tenants have."""

    async def read(self, tenant_id: str) -> dict[str, Quota]:
        """Return how much of each quota a tenant uses."""
        return _quotas(await self.run(_READ, tenant_id, *self._defaults()))

    async def watch(self, tenant_id: str, *, retain_seconds: int) -> QuotaNews:
        """Return what operators were not told of yet; they are told once. What has expired leaves the lists.

        Args:
            tenant_id: whose.
            retain_seconds: how long records of tasks are kept.
        """
        nearly, dropped = await self.run(_WATCH, tenant_id, retain_seconds, *self._defaults())
        pairs = zip(dropped[::2], dropped[1::2], strict=True)
        counts = {kind.decode(errors="replace"): moment(count) for kind, count in pairs}
        return QuotaNews(_quotas(nearly), counts)

    async def fit_memory(self, share: float) -> str | None:
        """Let no tenant without a limit of its own keep more than a share of what Redis may take.

        Args:
            share: of Redis' `maxmemory`, or of the memory of its machine where none is set.

        Returns:
            Redis' words where its user may not ask for that (INFO): the limits of the tiers alone apply then.
        """
        try:
            memory = await self.redis.info("memory")
        except NotPermitted as refused:
            return refused.reason
        most = int(memory.get("maxmemory") or 0) or int(memory.get("total_system_memory") or 0)
        self.limit_defaults.cap("bytes", int(most * share))
        return None

    def _defaults(self) -> Sequence[str]:
        return [self.limit_defaults[name] for name in QUOTAS]


def _quotas(rows: Sequence[Any]) -> dict[str, Quota]:
    return {name.decode(): Quota(int(used), int(limit) if limit else None) for name, used, limit in rows}
