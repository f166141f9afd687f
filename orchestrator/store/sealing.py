"""Which keys the contents in Redis are under, and their encryption under another one, beside processes that run."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from orchestrator.errors import TenantDamaged
from orchestrator.store import packed
from orchestrator.store.contents import (
    ANSWER,
    CACHED,
    ERROR,
    EVENT,
    FIELDS,
    HISTORY,
    ITEM,
    KEPT,
    MESSAGE,
    RESULT,
    TEXT,
    WORDS,
    Contents,
)
from orchestrator.store.redis.connection import Redis
from orchestrator.store.script import Script

_RESEAL: Final = Script("contents/reseal")
_RESEAL_STREAM: Final = Script("contents/reseal_stream")
_RESEAL_PACKED: Final = Script("contents/reseal_packed")
_PART: Final = 200
_ENTRIES_AT_ONCE: Final = 1000
_LONGEST_STREAM: Final = 20_000
"""Entries of a stream that are looked at: more than any of them keeps."""
_RECORD: Final = re.compile(r"orchestrator:(task|session|batch|schedule|call|tenant):\{?([A-Za-z0-9_.-]+)\}?:(.+)")
_CACHED: Final = re.compile(r"orchestrator:cache:\{?([A-Za-z0-9_.-]+)\}?:[a-z]+:[0-9a-f]+")
_REQUEST: Final = re.compile(r"orchestrator:idempotency:\{?([A-Za-z0-9_.-]+)\}?:.+")
_NOTIFIED: Final = re.compile(r"orchestrator:notifications:\{?([A-Za-z0-9_.-]+)\}?(?::.+:(bodies|events))?")
_QUEUED: Final = re.compile(r"orchestrator:(?:tasks|dlq):\{?([A-Za-z0-9_.-]+)\}?(?::(?:high|low|parked))?")
_PACKED_LOG: Final = ":events:packed"
_LANE: Final = re.compile(r"orchestrator:tasks:[^:]+(?::(?:high|low))?")
_CLEAR_EVENTS: Final = frozenset(
    {b"chat.status_update", b"session.state_update", b"batch.progress", b"workflow.status_update", b"chat.stream_reset",
     b"notification.acknowledged"}
)  # fmt: skip
"""Events that scripts write, or that say nothing of what is said: in clear they are no contents."""


@frozen
class Content:
    """A content as it was found."""

    tenant_id: str
    kind: str
    field: bytes
    value: bytes
    entry: bytes = b""
    """Of a stream; of a pack what stands in clear before it."""


@define
class Sealing:
    """How many contents are under each key."""

    by_key: Counter[str | None] = field(factory=Counter)
    """None: in clear."""
    unreadable: int = 0
    """Under a key that is not there, or changed."""
    resealed: int = 0
    in_streams: int = 0
    """Under another key than the first, in queues: they are not encrypted again, but go as these are worked off."""


class SealingStore:
    """Walks through the contents of all tenants.

    Args:
        redis: the connection.
        contents: the ring.
    """

    def __init__(self, redis: Redis, contents: Contents) -> None:
        self._redis = redis
        self._contents = contents

    async def survey(self, *, reseal: bool = False) -> Sealing:
        """Count all contents by their keys; with `reseal` those under another key than the first are put under it.

        It may be stopped at any time and run again: what is under the right key is left alone.

        Raises:
            StoreUnavailable: Redis is away.
        """
        found, cursor = Sealing(), 0
        while True:
            cursor, names = await self._redis.scan(cursor, match="orchestrator:*", count=_PART)
            if names:
                await self._look(names, found, reseal=reseal)
            if cursor == 0:
                return found

    async def _look(self, names: list[bytes], found: Sealing, *, reseal: bool) -> None:
        kinds = await self._redis.gather([("TYPE", name) for name in names], raise_on_error=False)
        reads = {
            b"hash": ("HGETALL",),
            b"string": ("GET",),
            b"stream": ("XRANGE", "-", "+", "COUNT", _LONGEST_STREAM),
            b"list": ("LRANGE", 0, -1),
        }
        wanted = [(name, kind) for name, kind in zip(names, kinds, strict=True) if kind in reads and _is_known(name)]
        for name, kind in wanted:
            command, *rest = reads[kind]
            [value] = await self._redis.gather([(command, name, *rest)], raise_on_error=False)
            if value is None or isinstance(value, Exception):
                continue
            contents = list(_contents(name.decode(errors="replace"), kind, value))
            await self._count(name, kind, contents, found, reseal=reseal)

    async def _count(self, name: bytes, kind: bytes, contents: list[Content], found: Sealing, *, reseal: bool) -> None:
        changes: list[bytes | str] = []
        for content in contents:
            try:
                key = self._contents.key_of(content.value)
                again = self._again(content) if key != self._contents.key_id else content.value
            except TenantDamaged:
                found.unreadable += 1
                continue
            if again == content.value:
                # Figures without words stay in clear under any key.
                found.by_key[key if key is not None else self._contents.key_id] += 1
                continue
            waits = kind == b"stream" and _is_lane(name)
            found.in_streams += waits
            if waits or not reseal:
                found.by_key[key] += 1
                continue
            if content.kind == KEPT or kind == b"list":
                done = await self._reseal_packed(name.decode(), content, again)
                found.resealed += done
                found.by_key[self._contents.key_id] += done
                continue
            changes += [content.entry] if kind == b"stream" else []
            changes += [content.field, content.value, again]
        if changes:
            done = await self._reseal(name.decode(), kind, changes)
            found.resealed += done
            found.by_key[self._contents.key_id] += done

    async def _reseal(self, name: str, kind: bytes, changes: list[bytes | str]) -> int:
        """Replace contents of a key; returns how many were still what was read."""
        if kind != b"stream":
            return int(await _RESEAL(self._redis, keys=[name], args=changes))
        done, size = 0, 4 * _ENTRIES_AT_ONCE
        for first in range(0, len(changes), size):
            done += max(0, await _RESEAL_STREAM(self._redis, keys=[name], args=changes[first : first + size]))
        return done

    async def _reseal_packed(self, name: str, content: Content, again: bytes | str) -> int:
        """Replace a packed content; returns whether it was still what was read."""
        raw = again.encode() if isinstance(again, str) else again
        new = (
            [part for piece in packed.pieces(raw) for part in piece] if content.kind == KEPT else [content.entry + raw]
        )
        return int(await _RESEAL_PACKED(self._redis, keys=[name], args=[content.entry + content.value, *new]))

    def _again(self, content: Content) -> bytes | str:
        contents, tenant_id, kind = self._contents, content.tenant_id, content.kind
        if kind == TEXT:
            return contents.seal(tenant_id, kind, contents.open_text(tenant_id, content.value))
        opened = contents.open(tenant_id, kind, content.value)
        return contents.seal_progress(tenant_id, opened) if kind == WORDS else contents.seal(tenant_id, kind, opened)


def _is_lane(name: bytes) -> bool:
    """Tell whether a key is a lane, which consumer groups read."""
    return bool(_LANE.fullmatch(name.decode(errors="replace")))


def _is_known(name: bytes) -> bool:
    text = name.decode(errors="replace")
    return any(one.fullmatch(text) for one in (_RECORD, _CACHED, _REQUEST, _NOTIFIED, _QUEUED))


def _contents(name: str, kind: bytes, value: Any) -> Iterator[Content]:
    """Yield what of a key are contents."""
    if kind == b"stream":
        yield from _of_stream(name, value)
    elif kind == b"string":
        if place := _CACHED.fullmatch(name):
            yield Content(place[1], CACHED, b"", value)
        elif (record := _RECORD.fullmatch(name)) and name.endswith(":text"):
            yield Content(record[2], TEXT, b"", value)
    elif kind == b"list":
        yield from _of_list(name, value)
    elif record := _RECORD.fullmatch(name):
        yield from _of_hash(record[1], record[2], record[3], value)
    elif request := _REQUEST.fullmatch(name):
        for part, what in ((b"answer", ANSWER), (b"body", EVENT)):
            # Most answers are ids, and stay in clear.
            if part in value and (what == EVENT or b"\xff" in value[part]):
                yield Content(request[1], what, part, value[part])
    elif (notified := _NOTIFIED.fullmatch(name)) and notified[2] == "bodies":
        for part, body in value.items():
            yield Content(notified[1], EVENT, part, body)


def _of_hash(noun: str, tenant_id: str, rest: str, record: Mapping[bytes, bytes]) -> Iterator[Content]:
    owner, _, part = rest.partition(":")
    kept = packed.whole(record) if noun == "task" and not part else None
    if kept is not None:
        yield Content(tenant_id, KEPT, b"", kept)
    for name, value in record.items():
        if part == "items":
            yield Content(tenant_id, ITEM, name, value)
        elif part == "results":
            ending = name.rpartition(b":")[2]
            if ending in {b"result", b"error"}:
                yield Content(tenant_id, RESULT if ending == b"result" else ERROR, name, value)
        elif not part and (owner == "config") == (noun == "tenant"):
            kind = FIELDS[noun].get(name.decode(errors="replace").partition(":")[0])
            # What a script writes of a batch's head is in clear in two parts, which can't become one again.
            if kind is not None and (noun != "batch" or name != b"head" or b"\xff" in value):
                yield Content(tenant_id, kind, name, value)


def _of_list(name: str, packs: list[bytes]) -> Iterator[Content]:
    place = _RECORD.fullmatch(name)
    if place is not None and name.endswith(_PACKED_LOG):
        for pack in packs:
            head, end, rest = pack.partition(b"\n")
            yield Content(place[2], EVENT, b"", rest, head + end)


def _of_stream(name: str, entries: list[Any]) -> Iterator[Content]:
    for entry, flat in entries:
        fields = flat if isinstance(flat, Mapping) else dict(zip(flat[::2], flat[1::2], strict=True))
        if queued := _QUEUED.fullmatch(name):
            for part, kind in ((b"message", MESSAGE), (b"error", ERROR)):
                if fields.get(part):
                    yield Content(queued[1], kind, part, fields[part], entry)
            continue
        place = _RECORD.fullmatch(name) or _NOTIFIED.fullmatch(name)
        if place is None:
            continue
        tenant_id = place[2] if place.re is _RECORD else place[1]
        part = b"b" if fields.get(b"b") else b"body"
        body = fields.get(part, b"")
        if b"m" in fields:
            yield Content(tenant_id, HISTORY, b"m", fields[b"m"], entry)
        elif b"\xff" in body or (body and fields.get(b"n") not in _CLEAR_EVENTS):
            yield Content(tenant_id, EVENT, part, body, entry)
