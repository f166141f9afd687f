"""The ledger of what tenants have spent.

Each day of a tenant is three hashes: by agent and model, by user, and by session; and one more for each user, by agent
and model. A field is `counter|kind|agent|model`, `counter|user` or `counter|session`: ids hold no `|`, and the model
comes last, so its name may hold anything. Costs (`nano`) are kept in billionths, as whole numbers that add up exactly.
What calls have spent is written by the script that ends them (`store.gateway_calls`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
_COUNTERS: Final = (
    "requests", "cached", "prompt_tokens", "completion_tokens", "total_tokens", "unsettled_tokens", "nano",
)  # fmt: skip
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
        """Add up what a tenant spent from `first` to `last`, both included, each item by what `group_by` says.

        Args:
            tenant_id: whose.
            first: a day in UTC.
            last: a day in UTC.
            group_by: what the items are.
            only: the user whose part of it is wanted; None: all.

        Raises:
            InvalidParameter: the range ends before it begins, or is longer than usage is kept.
        """
        if only is not None:
            return await self._read_own(tenant_id, only, first, last, group_by)
        by_user = group_by in {UsageGroup.USER, UsageGroup.SESSION}
        days = _days(first, last, KEPT_DAYS_BY_USER if by_user else KEPT_DAYS)
        part = f":{group_by}s" if by_user else ""
        replies = await self.redis.gather(
            [("HGETALL", self.keys.usage(tenant_id, f"{day:%Y%m%d}") + part) for day in days], raise_on_error=False
        )
        return _report(
            entry for day, reply in zip(days, replies, strict=True) for entry in _entries(reply, day, group_by)
        )

    async def _read_own(
        self, tenant_id: str, user_id: str, first: date, last: date, group_by: UsageGroup
    ) -> UsageReport:
        """Add up what one user spent; see `read`.

        What an earlier version has counted is known by user and day alone: its agent and model are empty.
        """
        days = _days(first, last, KEPT_DAYS_BY_USER)
        fields = [f"{counter}|{user_id}" for counter in _COUNTERS]
        commands: list[tuple[object, ...]] = []
        for day in days:
            name = f"{day:%Y%m%d}"
            commands.append(("HMGET", self.keys.usage(tenant_id, name) + ":users", *fields))
            commands.append(("HGETALL", self.keys.user_usage(tenant_id, name, user_id)))
        replies = await self.redis.gather(commands, raise_on_error=False)
        entries: list[tuple[str, str, int]] = []
        for day, sums, bought in zip(days, replies[::2], replies[1::2], strict=True):
            spent = {
                field.encode(): amount
                for amounts in readable(list[bytes | None], [sums])
                for field, amount in zip(fields, amounts, strict=True)
                if amount is not None
            }
            if group_by in {UsageGroup.USER, UsageGroup.DAY}:
                group = user_id if group_by is UsageGroup.USER else day.isoformat()
                entries += ((counter, group, amount) for counter, _, amount in _entries(spent, day, UsageGroup.USER))
            else:
                entries += _by_what(spent, bought, day, group_by)
        return _report(entries)


def _days(first: date, last: date, most: int) -> list[date]:
    span = (last - first).days + 1
    if not 1 <= span <= most:
        raise InvalidParameter(f"`from` and `to` must span 1 to {most} days.")
    return [first + timedelta(days=offset) for offset in range(span)]


def _report(entries: Iterable[tuple[str, str, int]]) -> UsageReport:
    groups: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    totals: defaultdict[str, int] = defaultdict(int)
    for counter, group, amount in entries:
        groups[group][counter] += amount
        totals[counter] += amount
    items = [UsageItem(key, *_figures(groups[key])) for key in sorted(groups)]
    return UsageReport(items, UsageTotals(*_figures(totals)))


def _by_what(
    spent: Mapping[bytes, bytes], bought: Mapping[bytes, bytes], day: date, group_by: UsageGroup
) -> Iterator[tuple[str, str, int]]:
    """Yield what a user spent on a day by agent or model; what is known by the day alone has neither."""
    left = {counter: amount for counter, _, amount in _entries(spent, day, UsageGroup.USER)}
    for counter, group, amount in _entries(bought, day, group_by):
        left[counter] = left.get(counter, 0) - amount
        yield counter, group, amount
    yield from ((counter, "", amount) for counter, amount in left.items() if amount > 0)


def _entries(reply: Mapping[bytes, bytes], day: date, group_by: UsageGroup) -> list[tuple[str, str, int]]:
    """Read a hash of the ledger as (counter, group, amount); what can't be read is left out."""
    rows = [(day, field) for fields in readable(dict[bytes, bytes], [reply]) for field in fields.items()]
    return readable(partial(_entry, group_by), rows)


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
    *counts, nano = (counters.get(counter, 0) for counter in _COUNTERS)
    requests, cached, prompt, completion, total, unsettled = counts
    return requests, cached, prompt, completion, total, unsettled, nano / _BILLION
