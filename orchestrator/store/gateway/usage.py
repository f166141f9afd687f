"""The ledger of what tenants have spent.

Each day of a tenant is three hashes: by agent and model, by user, and by session. A field is
`counter|kind|agent|model`, `counter|user` or `counter|session`: ids hold no `|`, and the model comes last, so its name
may hold anything. Costs (`nano`) are kept in billionths, as whole numbers that add up exactly. What calls have spent is
written by the script that ends them (`store.gateway_calls`).
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import Final

from orchestrator.errors import InvalidParameter
from orchestrator.models.gateway.usage import Payer, UsageGroup, UsageItem, UsageKind, UsageReport, UsageTotals
from orchestrator.store.records import readable, reading
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

KEPT_DAYS: Final = 400
KEPT_DAYS_BY_USER: Final = 62
"""Of users and sessions there are many."""
_DAY_SECONDS: Final = 86_400
_BILLION: Final = 1_000_000_000
_HIT: Final = Script("gateway/count_hit")


class UsageLedger(TenantStore):
    """Counts calls that spent nothing, and adds up."""

    async def count_hit(self, tenant_id: str, kind: UsageKind, model: str, payer: Payer, correlation_id: str) -> None:
        """Count a call that was answered from the cache.

        Raises:
            StoreUnavailable: it may or may not have been counted.
        """
        await self.run(
            _HIT,
            tenant_id,
            KEPT_DAYS * _DAY_SECONDS,
            KEPT_DAYS_BY_USER * _DAY_SECONDS,
            kind,
            payer.agent_id,
            model,
            payer.user_id,
            payer.session_id,
            correlation_id,
        )

    async def read(
        self, tenant_id: str, first: date, last: date, group_by: UsageGroup, *, only: str | None = None
    ) -> UsageReport:
        """Add up what was spent from `first` to `last`, both included, each item by what `group_by` says.

        Args:
            tenant_id: whose.
            first: a day in UTC.
            last: a day in UTC.
            group_by: what the items are.
            only: the item that is wanted; None: all.

        Raises:
            InvalidParameter: the range ends before it begins, or is longer than usage is kept.
        """
        by_user = group_by in {UsageGroup.USER, UsageGroup.SESSION}
        most = KEPT_DAYS_BY_USER if by_user else KEPT_DAYS
        span = (last - first).days + 1
        if not 1 <= span <= most:
            raise InvalidParameter(f"`from` and `to` must span 1 to {most} days.")
        days = [first + timedelta(days=offset) for offset in range(span)]
        part = f":{group_by}s" if by_user else ""
        replies = await self.redis.gather(
            [("HGETALL", self.keys.usage(tenant_id, f"{day:%Y%m%d}") + part) for day in days], raise_on_error=False
        )
        groups: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        totals: defaultdict[str, int] = defaultdict(int)
        rows = [
            (day, entry)
            for day, reply in zip(days, replies, strict=True)
            for fields in readable(dict[bytes, bytes], [reply])
            for entry in fields.items()
        ]
        for counter, group, amount in readable(partial(_entry, group_by), rows):
            if only is None or group == only:
                groups[group][counter] += amount
                totals[counter] += amount
        items = [UsageItem(key, *_figures(groups[key])) for key in sorted(groups)]
        return UsageReport(items, UsageTotals(*_figures(totals)))


def _entry(group_by: UsageGroup, row: tuple[date, tuple[bytes, bytes]]) -> tuple[str, str, int]:
    day, (field, amount) = row
    with reading("usage", day.isoformat()):
        counter, rest = field.decode().split("|", 1)
        if group_by in {UsageGroup.USER, UsageGroup.SESSION}:
            group = rest
        else:
            _, agent_id, model = rest.split("|", 2)
            group = {UsageGroup.MODEL: model, UsageGroup.AGENT: agent_id, UsageGroup.DAY: day.isoformat()}[group_by]
        return counter, group, int(amount)


def _figures(counters: Mapping[str, int]) -> tuple[int, int, int, int, int, int, float]:
    """Return what an item and the totals have in common, in the order of their fields."""
    count = counters.get
    return (
        count("requests", 0),
        count("cached", 0),
        count("prompt_tokens", 0),
        count("completion_tokens", 0),
        count("total_tokens", 0),
        count("unsettled_tokens", 0),
        count("nano", 0) / _BILLION,
    )
