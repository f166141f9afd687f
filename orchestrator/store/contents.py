"""Contents at rest: what users and services say, encrypted in Redis where keys are set.

A sealed value is a frame: a mark, the id of its key, and AES-256-GCM's nonce, ciphertext and tag. The tenant and the
kind of the content are authenticated with it, so a value that is copied to another tenant, or into a field of another
kind, can't be opened. The mark begins with a byte that no UTF-8 text holds: clear and sealed values live side by
side, and each says what it is. Scripts carry contents and never look inside; decision 12 names the few that have to
know the mark.
"""

import base64
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Self

import orjson
from attrs import define, field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.store import packed
from orchestrator.store.records import RecordDamaged

MARK: Final = b"\xff"
_FRAME: Final = b"\xffE1"
_COMPOSED: Final = b"\xffB1"
"""Begins the message of a batch's item, which a script has composed of sealed parts (`lib/tasks/batches.lua`)."""
_NONCE_BYTES: Final = 12
_COUNTS: Final = 2**32
_STEPS: Final = b"steps"
_TOLD: Final = 256
_TOLD_BYTES: Final = 65_536
"""A larger event is opened as others are: to keep many of them would take more memory than it saves time."""
_LENGTH: Final = struct.Struct(">I")

CLEAR: Final = "clear"
"""In the place of the first key of a ring: nothing is sealed (yet, or any more), and all keys open."""
EVENT: Final = "event"
HISTORY: Final = "session.history"
TEXT: Final = "task.text"
MESSAGE: Final = "task.message"
RESULT: Final = "task.result"
ERROR: Final = "task.error"
CHECKPOINT: Final = "task.checkpoint"
KEPT: Final = "task.kept"
WORDS: Final = "task.words"
TEMPLATE: Final = "batch.template"
ITEM: Final = "batch.item"
ANSWER: Final = "request.answer"
CACHED: Final = "gateway.answer"
SECRET: Final = "tenant.callback_secret"  # noqa: S105 # the name of a kind of content
"""Kinds of content."""

FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "task": {
        "message": MESSAGE,
        "result": RESULT,
        "error": ERROR,
        "retry_error": ERROR,
        "checkpoint": CHECKPOINT,
        "progress": WORDS,
        "cancel_reason": WORDS,
        "figures": WORDS,
        "callback_message": MESSAGE,
        "undo_message": MESSAGE,
    },
    "session": {"context": "session.context", "metadata": "session.metadata"},
    "batch": {"head": TEMPLATE, "callback_message": MESSAGE, "callback": ERROR},
    "schedule": {"content": "schedule.content", "metadata": "schedule.metadata"},
    "call": {"body": "gateway.call"},
    "tenant": {"callback_secret": SECRET, "callback_secret_before": SECRET},
}
"""The kind of each field with contents, by what its record is of; a field is named by its part before a colon."""

_WORDS_OF_EVENTS: Final = (("content", b'"content":'), ("message", b'"status_message":'))
"""What is filled into an event that a script has written: a word by its name behind the event, and its place there."""
ITEM_PLACE: Final = b'"@item":null'
TASK_PLACE: Final = b"@task"
"""Stand in the template of a batch's messages for what differs between its items."""


@define
class _Key:
    """A key of the ring.

    A nonce is a random part, which is this process's own, and a counter: none comes twice, however many are needed.
    """

    name: str
    _cipher: AESGCM
    _prefix: bytes
    _head: bytes = field(init=False, factory=lambda: os.urandom(8))
    _count: int = field(init=False, default=0)

    @classmethod
    def read(cls, spelled: str) -> Self:
        name, _, encoded = spelled.partition(":")
        prefix = b"%b%c%b" % (_FRAME, len(name), name.encode())
        return cls(name, AESGCM(base64.b64decode(encoded)), prefix)

    def seal(self, tenant_id: str, kind: str, value: bytes) -> bytes:
        if self._count == _COUNTS:
            self._head, self._count = os.urandom(8), 0
        nonce = self._head + _LENGTH.pack(self._count)
        self._count += 1
        sealed = self._cipher.encrypt(nonce, value, _bound_to(tenant_id, kind))
        return b"".join((self._prefix, _LENGTH.pack(_NONCE_BYTES + len(sealed)), nonce, sealed))

    def begin_of(self, value: bytes) -> int:
        """Return where the sealed bytes begin in a value that is one frame of this key; 0: it is none."""
        begin = len(self._prefix) + _LENGTH.size
        if not value.startswith(self._prefix) or len(value) < begin + _NONCE_BYTES:
            return 0
        return begin if _LENGTH.unpack_from(value, begin - _LENGTH.size)[0] == len(value) - begin else 0

    def open(self, tenant_id: str, kind: str, sealed: bytes) -> bytes:
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(tenant_id, kind))


@frozen
class Contents:
    """Seals contents before they go to Redis, and opens what comes from there.

    Args:
        keys: the ring, by id; all of them open.
        first: the one that seals; None: contents stay in clear.
    """

    _keys: Mapping[str, _Key] = field(factory=dict)
    _first: _Key | None = None
    _told: dict[bytes, tuple[str, bytes]] = field(factory=dict, init=False, eq=False, repr=False)
    """The events that were sealed here last, with their tenants: what is published comes back to the followers here,
    and these very bytes need not be opened."""

    @classmethod
    def under(cls, spelled: Sequence[str]) -> Self:
        """Read a ring as it is set: `id:base64` each, the one that seals first; `clear` in its place seals nothing."""
        keys = [_Key.read(one) for one in spelled if one != CLEAR]
        seals = bool(keys) and spelled[0] != CLEAR
        return cls({key.name: key for key in keys}, keys[0] if seals else None)

    @property
    def key_id(self) -> str | None:
        """The id of the key that seals; None: contents stay in clear."""
        return None if self._first is None else self._first.name

    def seal(self, tenant_id: str, kind: str, value: bytes | str) -> bytes | str:
        """Return a content as Redis gets it; nothing stays nothing, and a sealed value stays as it is."""
        if self._first is None or not value:
            return value
        return self.seal_bytes(tenant_id, kind, value.encode() if isinstance(value, str) else value)

    def seal_bytes(self, tenant_id: str, kind: str, value: bytes) -> bytes:
        """Return a content as `seal` does, of which nothing is known but its bytes."""
        key = self._first
        if key is None or not value or value.startswith(MARK):
            return value
        sealed = key.seal(tenant_id, kind, value)
        if kind == EVENT and len(sealed) <= _TOLD_BYTES:
            self._told[sealed] = (tenant_id, value)
            if len(self._told) > _TOLD:
                del self._told[next(iter(self._told))]
        return sealed

    def open(self, tenant_id: str, kind: str, value: bytes) -> bytes:
        """Return a content in clear; one that is not sealed is returned as it is.

        Raises:
            RecordDamaged: its key is not in the ring, or it was changed, or belongs to another tenant or field.
        """
        if kind == EVENT and (told := self._told.pop(value, None)) is not None and told[0] == tenant_id:
            return told[1]
        key = self._first
        if key is not None and (begin := key.begin_of(value)):
            # The usual case without a detour.
            return _opened_by(key, tenant_id, kind, value[begin:])
        start = value.find(MARK)
        if start < 0 or value.startswith(packed.MARK):
            return value
        if value.startswith(_COMPOSED, start):
            return self._open_composed(tenant_id, value)
        name, sealed, _ = _frame(value, start)
        if kind == EVENT and start > 0:
            return _filled(value[:start], orjson.loads(self._open(tenant_id, WORDS, name, sealed)))
        return self._open(tenant_id, kind, name, sealed)

    def open_text(self, tenant_id: str, value: bytes) -> bytes:
        """Return the text of a running turn, to which each piece was appended sealed or in clear.

        Raises:
            RecordDamaged
        """
        pieces, at = [], 0
        while (start := value.find(MARK, at)) >= 0:
            name, sealed, end = _frame(value, start)
            pieces += [value[at:start], self._open(tenant_id, TEXT, name, sealed)]
            at = end
        return b"".join([*pieces, value[at:]])

    def seal_fields(
        self, tenant_id: str, noun: str, fields: Mapping[str, str | bytes | int]
    ) -> Iterator[str | bytes | int]:
        """Yield the fields of a record with their values, as scripts take them, its contents sealed."""
        kinds = FIELDS[noun]
        for name, value in fields.items():
            yield name
            kind = kinds.get(name.partition(":")[0]) if self._first and not isinstance(value, int) else None
            if kind is None or isinstance(value, int):
                yield value
            elif kind == WORDS:
                yield self.seal_progress(tenant_id, value.encode() if isinstance(value, str) else value)
            else:
                yield self.seal(tenant_id, kind, value)

    def seal_queued(self, tenant_id: str, body: bytes) -> bytes | str:
        """Seal what is said in an event into which a script writes a figure; it goes behind the event."""
        told = orjson.loads(body) if self._first and body else {}
        content = told.get("data", {}).get("content")
        if content is None:
            return body
        told["data"]["content"] = None
        return _behind(orjson.dumps(told), self.seal(tenant_id, WORDS, orjson.dumps({"content": content})))

    def seal_progress(self, tenant_id: str, value: bytes) -> bytes | str:
        """Seal how far a task is; its figures stand in clear before the frame, where scripts read them (`ends.lua`)."""
        if self._first is None or not value or MARK in value:
            return value
        told = orjson.loads(value)
        clear = {name: told[name] for name in _FIGURES if name in told}
        if clear == told:
            return value
        return _behind(orjson.dumps(clear), self.seal(tenant_id, WORDS, value))

    def open_record(self, tenant_id: str, noun: str, record: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return a record with its contents in clear, and with what was packed of it.

        Raises:
            RecordDamaged
        """
        record = self._unpacked(tenant_id, record)
        sealed = [name for name, value in record.items() if MARK in value]
        if not sealed:
            return record
        kinds, opened = FIELDS[noun], dict(record)
        for name in sealed:
            kind = kinds.get(name.decode(errors="replace").partition(":")[0])
            if kind is not None:
                opened[name] = self.open(tenant_id, kind, record[name])
        return opened

    def _unpacked(self, tenant_id: str, record: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        kept = packed.whole(record)
        if kept is None:
            return record
        clear = self.open(tenant_id, KEPT, kept)
        try:
            fields = packed.unpack_fields(clear)
        except packed.NotPacked as fault:
            raise RecordDamaged(f"What is kept of a task {fault}.") from None
        stays = {name: value for name, value in record.items() if not packed.is_piece(name)}
        if _STEPS in stays and _STEPS in fields:
            # Steps that came after the task was packed, as of a call whose usage became known late.
            fields[_STEPS] += b"\n" + stays[_STEPS]
        return {**stays, **fields}

    def open_pairs(self, tenant_id: str, noun: str, flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return a record of which a script has returned names and values in turn, its contents in clear."""
        return self.open_record(tenant_id, noun, dict(zip(flat[::2], flat[1::2], strict=True)))

    def key_of(self, value: bytes) -> str | None:
        """Return the id of the key that a value is sealed under; None: it is in clear."""
        start = value.find(MARK)
        return None if start < 0 or value.startswith(packed.MARK) else _frame(value, value.find(_FRAME, start))[0]

    def _open(self, tenant_id: str, kind: str, name: str, sealed: bytes) -> bytes:
        key = self._keys.get(name)
        if key is None:
            raise RecordDamaged(
                f"A {kind} is encrypted under the key {name!r}, which ORCH_ENCRYPTION_KEYS does not hold."
            )
        return _opened_by(key, tenant_id, kind, sealed)

    def _open_composed(self, tenant_id: str, value: bytes) -> bytes:
        task_id, _, rest = value.removeprefix(_COMPOSED).partition(b"\n")
        name, sealed, end = _frame(rest, 0)
        template, item = self._open(tenant_id, TEMPLATE, name, sealed), self.open(tenant_id, ITEM, rest[end:])
        head, _, tail = template.partition(ITEM_PLACE)
        return head.replace(TASK_PLACE, task_id) + item + tail


_FIGURES: Final = ("progress", "steps_completed", "steps_total", "status", "execution_id")
"""What of a task's progress are figures, and no content."""


def _behind(clear: bytes, sealed: bytes | str) -> bytes:
    return clear + (sealed.encode() if isinstance(sealed, str) else sealed)


def _filled(event: bytes, words: Mapping[str, str | None]) -> bytes:
    """Return an event with its words in their places."""
    for name, place in _WORDS_OF_EVENTS:
        if words.get(name) is not None:
            event = event.replace(place + b"null", place + orjson.dumps(words[name]), 1)
    return event


def is_sealed(value: bytes) -> bool:
    """Tell whether a value is sealed."""
    return value.startswith(MARK)


def _opened_by(key: _Key, tenant_id: str, kind: str, sealed: bytes) -> bytes:
    try:
        return key.open(tenant_id, kind, sealed)
    except (InvalidTag, ValueError):
        # A frame whose length was changed may leave too little for a nonce.
        says = f"A {kind} under the key {key.name!r} can't be decrypted: it was changed, or is another's."
        raise RecordDamaged(says) from None


def _frame(value: bytes, start: int) -> tuple[str, bytes, int]:
    """Return the key's id and the sealed bytes of the frame at `start`, and where it ends."""
    at = start + len(_FRAME)
    try:
        if not value.startswith(_FRAME, start):
            raise ValueError
        end_of_name = at + 1 + value[at]
        name = value[at + 1 : end_of_name].decode()
        begin = end_of_name + _LENGTH.size
        end = begin + _LENGTH.unpack_from(value, end_of_name)[0]
        if end > len(value):
            raise ValueError
    except (ValueError, IndexError, struct.error):
        raise RecordDamaged("An encrypted content is cut off, or is none.") from None
    return name, value[begin:end], end


@lru_cache(4096)
def _bound_to(tenant_id: str, kind: str) -> bytes:
    return f"{tenant_id}\0{kind}".encode()
