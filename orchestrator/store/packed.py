"""Packed contents: what is read seldom, deflated into one value.

What has ended is kept for days, and read by few. Its texts repeat each other and the same names, so they are deflated
together, beginning with a dictionary of those names. Redis stores a small hash compactly only while no value in it is
longer than 64 bytes; so a packed value of moderate size stands in a record in pieces of that length.

A packed value begins with a byte that no UTF-8 text holds, and with the number of its dictionary. A dictionary is
never changed: what was packed with it could not be read any more. Another one gets the next number.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

MARK: Final = b"\xfe1"
"""Begins a packed value: packed, by the first dictionary."""
PIECE: Final = b"z:"
"""Begins the names of the pieces of a packed value in a record: `z:0`, `z:1`…"""
_PIECE_BYTES: Final = 64
_PIECES: Final = 64
"""More make no record compact: then there is one piece."""
PIECE_NAMES: Final = tuple(b"%b%d" % (PIECE, number) for number in range(_PIECES))
"""Names of all pieces that a record may have."""
_MOST_BYTES: Final = 2**26
"""No more than that is unpacked."""
_LEVEL: Final = 6
_WINDOW: Final = 13
_MEMORY: Final = 5
"""What is packed at once is small: 8 KiB are looked back, and little memory is set up for it."""
_IDS: Final = "0123456789abcdef-01-4-7-8-9-a-b-"
_DICTIONARY: Final = (
    _IDS
    + '{"data":{"session_id":"","state":"PROCESSING","state_code":30,"recovered":true,"active_task_id":"'
    + '"ACTIVE","state_code":20,"recovered":true,"active_task_id":null,"agent_id":null,"agent_version":null},'
    + '"message_id":"","correlation_id":"","type":{"domain":"session","action":"state_update"},"schema_version":"1.0"'
    + ',"type":{"domain":"tool","action":"result"},"type":{"domain":"batch","action":"progress"}'
    + ',"type":{"domain":"workflow","action":"status_update"},"schema_version":"1.0","created_at":"20'
    + ',"type":{"domain":"chat","action":"stream"},"schema_version":"1.0","created_at":"2026-01-01T00:00:00.000Z"'
    + '{"data":{"message_id":"","task_id":"","status":"queued","progress":null,"queue_position":0,"content":"'
    + '{"data":{"parent_message_id":"","sequence_number":1,"chunk":" ","content_type":"response","is_final":false},'
    + '"is_final":true},"status":"processing","progress":null,"queue_position":null,"content":null},"message_id":"'
    + '"},"type":{"domain":"chat","action":"completed"},"status":"completed","progress":null,"queue_position":null'
    + ',"content":null},"message_id":"0","correlation_id":"0","type":{"domain":"chat","action":"status_update"}'
    + ',"schema_version":"1.0","created_at":"2026","tenant_id":"","source_service":"agent-orchestrator"}'
    + "\tretried\tin ms\tparked\tresumed\tdelegated\tanswered\tits_turn\tcancel_asked\tcancelled\tfailed\ttaken_over\t"
    + "\taccepted\t0\t\tchat.message\n1\tclaimed\t1\t\t\n1\tcheckpoint\t1\t\tagent_version\n"
    + "1\tcheckpoint\t1\t\texecute\n1\tfinished\t1\t\tcompleted"
    + 'checkpoint:agent_version{"agent_id":"","version":"1.0.0"}order:stepserrorretry_errorprogressfiguresresult'
    + '{"parent_message_id":"","message_id":"","content":"","content_type":"text/markdown","sources":[],"tool_calls":'
    + '[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"processing_time_ms":0,"degraded":[]}'
    + 'message{"message_id":"","task_id":"","tenant_id":"","correlation_id":"","created_at":"2026-01-01T00:00:00.000Z"'
    + ',"type":{"domain":"chat","action":"message"},"metadata":{"user_id":"","timeout_ms":120000,"retry_count":0'
    + ',"message_id":"","deduplication_key":null,"trace_id":"","traceparent":"00--01","request_id":""},"payload":{'
    + '"message_id":"","content":"","content_type":"text/plain","attachments":[],"metadata":{}},"session_id":"'
    + '","conversation_id":null,"expires_at":null,"schema_version":"1.1","status":"pending","priority":1'
    + ',"source_service":"agent_orchestrator","target_service":"agent_orchestrator","delegated_services":[]}'
).encode()


class NotPacked(ValueError):
    """A value is no packed one, or was damaged."""


def pack(value: bytes) -> bytes:
    """Return a value packed."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return MARK + packer.compress(value) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """Return what was packed.

    Raises:
        NotPacked
    """
    if not packed.startswith(MARK):
        raise NotPacked("is not packed as this version packs")
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, _DICTIONARY)
    try:
        value = unpacker.decompress(packed[len(MARK) :], _MOST_BYTES)
    except zlib.error as error:
        raise NotPacked(f"can't be unpacked: {error}") from None
    if not unpacker.eof:
        raise NotPacked("is cut off, or too large")
    return value


def pack_fields(fields: Mapping[bytes, bytes]) -> bytes:
    """Return fields of a record as one packed value."""
    return pack(msgspec.msgpack.encode([part for pair in fields.items() for part in pair]))


def unpack_fields(packed: bytes) -> dict[bytes, bytes]:
    """Return what `pack_fields` has packed.

    Raises:
        NotPacked
    """
    parts = _parts(packed)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def pack_events(events: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return events, name and body of each, as one packed value."""
    return pack(msgspec.msgpack.encode([part for event in events for part in event]))


def unpack_events(packed: bytes) -> list[tuple[bytes, bytes]]:
    """Return what `pack_events` has packed.

    Raises:
        NotPacked
    """
    parts = _parts(packed)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _parts(packed: bytes) -> list[bytes]:
    try:
        return msgspec.msgpack.decode(unpack(packed), type=list[bytes])
    except msgspec.MsgspecError as error:
        raise NotPacked(f"holds something else: {error}") from None


def pieces(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of the pieces in which a packed value, sealed or not, stands in a record."""
    size = _PIECE_BYTES if len(packed) <= _PIECE_BYTES * _PIECES else len(packed)
    for number, start in enumerate(range(0, len(packed), size)):
        yield b"%b%d" % (PIECE, number), packed[start : start + size]


def whole(record: Mapping[bytes, bytes]) -> bytes | None:
    """Return the packed value that stands in a record in pieces; None: there is none."""
    found, number = [], 0
    while (piece := record.get(b"%b%d" % (PIECE, number))) is not None:
        found.append(piece)
        number += 1
    return b"".join(found) if found else None


def is_piece(name: bytes) -> bool:
    """Tell whether a field of a record is a piece of a packed value."""
    return name.startswith(PIECE)
