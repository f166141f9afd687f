"""Reading the audit trail: its streams joined into one order, page by page."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Final

from attrs import frozen

from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.audit import AuditEntry, AuditKind, AuditOrder
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit import COPIED
from orchestrator.store.redis.connection import Redis

SCAN_BOUND: Final = 2000
"""Entries that one page looks at; a filter that finds little hands out a cursor then."""
_PART: Final = 200
"""Entries, or streams, that are read at once."""
_TENANT_KINDS: Final = (AuditKind.ADMINISTRATION, AuditKind.ACTIVITY, AuditKind.REFUSALS)
_SLACK_MS: Final = 120_000
"""By which a tenant's moment in the list of tenants may be behind its last entry."""

AuditPlace = tuple[int, int, str]
"""Where an entry stands in the order of all: moment (ms), number within it, name of its stream."""
Found = tuple[AuditPlace, AuditEntry | None]
"""An entry at its place; None: a copy of one that stands elsewhere, too."""


@frozen
class AuditQuery:
    """Which entries are asked for."""

    tenant_id: str | None
    """None: all, those without a tenant included."""
    order: AuditOrder = AuditOrder.NEWEST
    since_ms: int | None = None
    until_ms: int | None = None
    """Exclusive."""
    action: str | None = None
    """An action, or a domain and a dot for all of it: `tenant.`."""
    actor: str | None = None
    outcome: str | None = None

    def keeps(self, entry: AuditEntry) -> bool:
        """Tell whether an entry is asked for."""
        return (
            (self.tenant_id is None or entry.tenant_id == self.tenant_id)
            and (self.action is None or _matches(entry.action, self.action))
            and self.actor in {None, entry.user_id}
            and self.outcome in {None, entry.outcome}
        )


@frozen
class _Stream:
    key: str
    name: str
    """In cursors: it tells nothing of the names of keys."""
    kind: AuditKind


@frozen
class AuditReader:
    """Reads the audit trail."""

    redis: Redis
    keys: Keys

    async def page(
        self, query: AuditQuery, *, after: AuditPlace | None, limit: int
    ) -> tuple[list[AuditEntry], AuditPlace | None]:
        """Read the entries that follow a place.

        Args:
            query: which.
            after: the place; None: from the start.
            limit: how many at most.

        Returns:
            The entries, and the place that the next page follows; None: there is nothing more.
        """
        streams = await self._streams(query)
        entries: list[AuditEntry] = []
        scanned = 0
        while True:
            count = min(_PART, limit) if query.action is query.actor is query.outcome is None else _PART
            found = await self._merged(streams, query, after, count)
            for place, entry in found:
                after, scanned = place, scanned + 1
                if entry is not None and query.keeps(entry):
                    entries.append(entry)
                if len(entries) == limit or scanned >= SCAN_BOUND:
                    more = await self._merged(streams, query, after, 1)
                    return entries, after if more else None
            if len(found) < count:
                return entries, None

    async def _streams(self, query: AuditQuery) -> list[_Stream]:
        # Older versions wrote everything into the stream of what belongs to no tenant.
        streams = [_Stream(self.keys.audit, "events", AuditKind.ADMINISTRATION)]
        if query.tenant_id is None:
            streams.append(_Stream(self.keys.audit_refusals, "refusals", AuditKind.REFUSALS))
            streams.append(_Stream(self.keys.audit_keys, "keys", AuditKind.KEYS))
            since = max(query.since_ms or 0, now_ms() - AuditKind.ADMINISTRATION.retention_ms) - _SLACK_MS
            named = await self.redis.zrangebyscore(self.keys.audit_tenants, since, "+inf")
            tenants = [raw.decode(errors="replace") for raw in named]
        else:
            tenants = [query.tenant_id]
        for tenant_id in tenants:
            streams += [
                _Stream(self.keys.tenant_audit(tenant_id, kind), f"{tenant_id}/{kind}", kind) for kind in _TENANT_KINDS
            ]
        return streams

    async def _merged(
        self, streams: Sequence[_Stream], query: AuditQuery, after: AuditPlace | None, count: int
    ) -> list[Found]:
        """Return the first entries of all streams behind a place, in their order."""
        first = nlargest if query.order is AuditOrder.NEWEST else nsmallest
        if len(streams) > count:
            # Only the streams whose heads come first can have what comes first.
            heads = await self._read(streams, query, after, 1)
            names = {place[2] for place, _ in first(count, heads, key=_place)}
            streams = [stream for stream in streams if stream.name in names]
        return first(count, await self._read(streams, query, after, count), key=_place)

    async def _read(
        self, streams: Sequence[_Stream], query: AuditQuery, after: AuditPlace | None, count: int
    ) -> list[Found]:
        newest, found = query.order is AuditOrder.NEWEST, list[Found]()
        for begin in range(0, len(streams), _PART):
            part = streams[begin : begin + _PART]
            commands = []
            for stream in part:
                low, high = _bounds(stream, query, after)
                command, bounds = ("XREVRANGE", (high, low)) if newest else ("XRANGE", (low, high))
                commands.append((command, stream.key, *bounds, "COUNT", count))
            for stream, reply in zip(part, await self.redis.gather(commands), strict=True):
                found += list(_entries(stream, reply))
        return found


def _bounds(stream: _Stream, query: AuditQuery, after: AuditPlace | None) -> tuple[str, str]:
    """Return the lowest and the highest id of a stream that are asked for."""
    since = max(query.since_ms or 0, now_ms() - stream.kind.retention_ms)
    low, high = f"{since}-0", "+" if query.until_ms is None else f"({max(query.until_ms, 1)}-0"
    if after is None:
        return low, high
    moment, number, name = after
    if query.order is AuditOrder.NEWEST:
        # Behind the place, in the order of (moment, number, name), come entries with a smaller one.
        return low, f"{'' if stream.name < name else '('}{moment}-{number}"
    if moment < since:
        return low, high
    return f"{'' if stream.name > name else '('}{moment}-{number}", high


def _entries(stream: _Stream, reply: Any) -> Iterator[Found]:
    for raw_id, raw in reply or ():
        fields = _fields(raw)
        moment, _, number = raw_id.decode().partition("-")
        place = (int(moment), int(number), stream.name)
        if COPIED in fields:
            yield place, None
            continue
        count = fields.get("count", "1")
        yield (
            place,
            AuditEntry(
                id=raw_id.decode(),
                at=fields.get("at") or to_timestamp(int(moment)),
                kind=stream.kind,
                action=fields.get("action", ""),
                outcome=fields.get("outcome", ""),
                tenant_id=fields.get("tenant_id", ""),
                user_id=fields.get("user_id", ""),
                remote_address=fields.get("remote_address", ""),
                correlation_id=fields.get("correlation_id", ""),
                detail=fields.get("detail", ""),
                count=int(count) if count.isdecimal() and int(count) else 1,
            ),
        )


def _fields(raw: Any) -> dict[str, str]:
    pairs = raw.items() if isinstance(raw, Mapping) else zip(raw[::2], raw[1::2], strict=True)
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}


def _place(found: Found) -> AuditPlace:
    return found[0]


def _matches(action: str, wanted: str) -> bool:
    return action.startswith(wanted) if wanted.endswith(".") else action == wanted
