"""What waits for one reader: bounded, in order, and joined where that loses nothing.

A reader that keeps up never fills its outbox. When it is full, waiting `chat.stream` chunks that stand next to each
other and belong to the same part of the same answer become one; when that frees nothing, the outbox overflows and its
owner has to let the reader go. Bounded in events and in bytes, so that neither many nor large ones can pile up.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import attrs
import orjson

from orchestrator.models.events.events import Event

E = TypeVar("E", bound=Event)

_STREAM: Final = "chat.stream"
_DECIDING: Final = frozenset({"is_final", "parent_message_id", "content_type"})
"""What of a chunk says whether it can be joined with its neighbours."""
MAX_JOINED_CHARS: Final = 32_768
"""A joined chunk never grows beyond this many characters, so that a stuck reader costs bounded memory."""
MAX_BYTES: Final = 8 * 1024 * 1024


class Outbox(Generic[E]):
    """Events on their way to one reader, oldest first.

    Args:
        capacity: so many events may wait.
        max_bytes: so many bytes of bodies may wait; one event always may.
    """

    __slots__ = ("_bytes", "_capacity", "_max_bytes", "_waiting")

    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._waiting: deque[E] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, event: E) -> bool:
        """Add an event; tell whether it found room, joining what can be joined where there is none."""
        if not self._fits(event):
            self._join()
            if not self._fits(event):
                return False
        self._waiting.append(event)
        self._bytes += len(event.body)
        return True

    def first(self, limit: int) -> list[E]:
        """Return up to `limit` events, which go on waiting."""
        return list(islice(self._waiting, limit))

    def take(self, limit: int) -> list[E]:
        """Remove and return up to `limit` events."""
        taken = self.first(limit)
        if len(taken) == len(self._waiting):
            self._waiting.clear()
            self._bytes = 0
        else:
            for event in taken:
                self._waiting.popleft()
                self._bytes -= len(event.body)
        return taken

    def clear(self) -> None:
        """Forget everything that waits."""
        self._waiting.clear()
        self._bytes = 0

    def _fits(self, event: E) -> bool:
        if not self._waiting:
            return True
        return len(self._waiting) < self._capacity and self._bytes + len(event.body) <= self._max_bytes

    def _join(self) -> None:
        self._waiting = deque(join_chunks(self._waiting))
        self._bytes = sum(len(event.body) for event in self._waiting)


def join_chunks(events: Iterable[E]) -> list[E]:
    """Join neighbouring chunks of the same answer; everything else stays as and where it is.

    A joined chunk is its last one with the text of all: it carries the last offset, sequence number and `is_final`.
    """
    joined: list[E] = []
    run: _Run[E] | None = None
    for event in events:
        body = _chunk(event)
        if body is not None and run is not None and run.takes(event, body["data"]):
            run.add(event, body)
            continue
        if run is not None:
            joined.append(run.joined())
        run = None if body is None else _Run(event, body)
        if run is None:
            joined.append(event)
    if run is not None:
        joined.append(run.joined())
    return joined


def _chunk(event: Event) -> dict[str, Any] | None:
    """Read a chunk that can be joined; None: it is something else."""
    if event.name != _STREAM:
        return None
    body: dict[str, Any] = orjson.loads(event.body)
    data = body["data"]
    return body if isinstance(data.get("chunk"), str) and data.keys() >= _DECIDING else None


class _Run(Generic[E]):
    """Chunks that stand next to each other and can be one."""

    __slots__ = ("_body", "_chars", "_chunks", "_last")

    def __init__(self, event: E, body: dict[str, Any]) -> None:
        self._last = event
        self._body = body
        self._chunks: list[str] = [body["data"]["chunk"]]
        self._chars = len(self._chunks[0])

    def takes(self, event: E, data: dict[str, Any]) -> bool:
        mine = self._body["data"]
        return (
            not mine["is_final"]
            and event.epoch == self._last.epoch
            and data["parent_message_id"] == mine["parent_message_id"]
            and data["content_type"] == mine["content_type"]
            and self._chars + len(data["chunk"]) <= MAX_JOINED_CHARS
        )

    def add(self, event: E, body: dict[str, Any]) -> None:
        chunk = body["data"]["chunk"]
        self._last, self._body = event, body
        self._chunks.append(chunk)
        self._chars += len(chunk)

    def joined(self) -> E:
        if len(self._chunks) == 1:
            return self._last
        data = self._body["data"] | {"chunk": "".join(self._chunks)}
        return attrs.evolve(self._last, body=orjson.dumps(self._body | {"data": data}))
