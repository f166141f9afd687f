"""The ledger of what tenants have spent.

Each day of a tenant is a hash. A field is `counter|kind|agent|model`: agents' ids hold no `|`, and the model comes
last, so its name may hold anything. Costs are kept in millionths, as whole numbers that add up exactly.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from attrs import frozen

from orchestrator.errors import InvalidParameter
from orchestrator.models.usage import Spending, UsageGroup, UsageItem, UsageReport, UsageTotals
from orchestrator.store.connection import Redis
from orchestrator.store.keys import Keys
from orchestrator.store.scripts import Script

KEPT_DAYS: Final = 400
MARK_SECONDS: Final = 3600
"""How long a settlement that may have been lost on its way can be repeated without counting twice."""
_MILLION: Final = 1_000_000
_SETTLE: Final = Script("settle_usage")


@frozen
class UsageLedger:
    """Counts and adds up."""

    redis: Redis
    keys: Keys

    async def record(self, tenant_id: str, spent: Spending, *, settlement: str, moment_ms: int) -> bool:
        """Add what a call has spent to the day it was spent on (UTC).

        Args:
            tenant_id: who pays.
            spent: what, and for what.
            settlement: names this call; the same name counts once.
            moment_ms: when, in ms since the Unix epoch.

        Returns:
            Whether it was added now; False: it had been before.

        Raises:
            StoreUnavailable: it may or may not have been added; repeat it with the same `settlement`.
        """
        day = f"{datetime.fromtimestamp(moment_ms / 1000, UTC):%Y%m%d}"
        counters = {
            "requests": 1,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "total_tokens": spent.total_tokens,
            "cost": round(spent.cost * _MILLION),
        }
        pairs = [part for name, amount in counters.items() if amount for part in (name, amount)]
        added = await _SETTLE(
            self.redis,
            keys=[self.keys.usage(tenant_id, day), self.keys.settlement(tenant_id, settlement)],
            args=[KEPT_DAYS * 86_400, MARK_SECONDS, f"{spent.kind}|{spent.agent_id}|{spent.model}", *pairs],
        )
        return bool(added)

    async def read(self, tenant_id: str, first: date, last: date, group_by: UsageGroup) -> UsageReport:
        """Add up what was spent from `first` to `last`, both included, each item by what `group_by` says.

        Raises:
            InvalidParameter: the range ends before it begins, or is longer than usage is kept.
        """
        span = (last - first).days + 1
        if not 1 <= span <= KEPT_DAYS:
            raise InvalidParameter(f"`from` and `to` must span 1 to {KEPT_DAYS} days.")
        days = [first + timedelta(days=offset) for offset in range(span)]
        replies = await self.redis.gather([("HGETALL", self.keys.usage(tenant_id, f"{day:%Y%m%d}")) for day in days])
        groups: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        totals: defaultdict[str, int] = defaultdict(int)
        for day, reply in zip(days, replies, strict=True):
            for counter, group, amount in _entries(reply, day, group_by):
                groups[group][counter] += amount
                totals[counter] += amount
        items = [UsageItem(key, *_figures(groups[key])) for key in sorted(groups)]
        return UsageReport(items, UsageTotals(*_figures(totals)))


def _entries(reply: dict[bytes, bytes], day: date, group_by: UsageGroup) -> Iterator[tuple[str, str, int]]:
    for field, amount in reply.items():
        counter, _, agent_id, model = field.decode().split("|", 3)
        group = {UsageGroup.MODEL: model, UsageGroup.AGENT: agent_id, UsageGroup.DAY: day.isoformat()}[group_by]
        yield counter, group, int(amount)


def _figures(counters: Mapping[str, int]) -> tuple[int, int, int, int, float]:
    """Return what an item and the totals have in common, in the order of their fields."""
    count = counters.get
    return (
        count("requests", 0),
        count("prompt_tokens", 0),
        count("completion_tokens", 0),
        count("total_tokens", 0),
        count("cost", 0) / _MILLION,
    )
