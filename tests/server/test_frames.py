"""Frames as RFC 6455 has them, and as it forbids them: each is answered, or closed with the code that it names."""

from collections.abc import Iterator

import pytest
from attrs import frozen

from tests.server.stage import BINARY, CLOSE, PING, PONG, TEXT, Stage, close_frame, frame, open_stage

LIMIT = 1024 * 1024
CONTINUATION = 0
PROTOCOL, UTF8, TOO_BIG = 1002, 1007, 1009


@frozen
class Case:
    """What a client sends, the frames that come back, and the code of the close frame, which ends them."""

    name: str
    sent: bytes
    answers: tuple[tuple[int, bytes], ...] = ()
    close: bytes | None = None
    """Payload of the close frame, or its beginning; None: the socket stays open."""
    bytewise: bool = False


def code(number: int) -> bytes:
    return number.to_bytes(2, "big")


def echoed(name: str, opcode: int, payload: bytes, sent: bytes, *, bytewise: bool = False) -> Case:
    return Case(name, sent, ((opcode, payload),), bytewise=bytewise)


def refused(name: str, sent: bytes, number: int = PROTOCOL, answers: tuple[tuple[int, bytes], ...] = ()) -> Case:
    return Case(name, sent, answers, code(number))


def messages() -> Iterator[Case]:
    """Whole messages of every length and mask."""
    for size in (0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537):
        yield echoed(f"a text of {size}", TEXT, b"*" * size, frame(TEXT, b"*" * size))
        yield echoed(f"a binary of {size}", BINARY, b"\xfe" * size, frame(BINARY, b"\xfe" * size))
    yield echoed("a text as long as allowed", TEXT, b"x" * LIMIT, frame(TEXT, b"x" * LIMIT, mask=bytes(4)))
    for mask in (bytes(4), b"\xff\xff\xff\xff", b"\x00\xff\x00\xff"):
        yield echoed(f"the mask {mask.hex()}", TEXT, b"masked", frame(TEXT, b"masked", mask=mask))
    yield echoed("a text byte by byte", TEXT, b"slowly", frame(TEXT, b"slowly"), bytewise=True)
    yield echoed("a longer text byte by byte", TEXT, b"s" * 200, frame(TEXT, b"s" * 200), bytewise=True)
    both = ((TEXT, b"one"), (BINARY, b"two"))
    yield Case("two messages at once", frame(TEXT, b"one") + frame(BINARY, b"two"), both)


def fragments() -> Iterator[Case]:
    """Messages in several frames, and control frames between them."""

    def pieces(*payloads: bytes, between: bytes = b"", opcode: int = TEXT) -> bytes:
        last = len(payloads) - 1
        return between.join(
            frame(opcode if at == 0 else CONTINUATION, payload, fin=at == last) for at, payload in enumerate(payloads)
        )

    yield echoed("two fragments", TEXT, b"ab", pieces(b"a", b"b"))
    yield echoed("a hundred fragments", TEXT, b"a" * 100, pieces(*[b"a"] * 100))
    yield echoed("fragments byte by byte", TEXT, b"abc", pieces(b"a", b"b", b"c"), bytewise=True)
    yield echoed("an empty first fragment", TEXT, b"ab", pieces(b"", b"ab"))
    yield echoed("an empty fragment between", TEXT, b"ab", pieces(b"a", b"", b"b"))
    yield echoed("an empty last fragment", TEXT, b"ab", pieces(b"ab", b""))
    yield echoed("nothing but empty fragments", TEXT, b"", pieces(b"", b"", b""))
    yield echoed("binary fragments", BINARY, b"\xff\xfe", pieces(b"\xff", b"\xfe", opcode=BINARY))
    ping = frame(PING, b"p")
    yield Case("a ping between fragments", pieces(b"a", b"b", between=ping), ((PONG, b"p"), (TEXT, b"ab")))
    yield Case(
        "many pings between fragments",
        pieces(b"a", b"b", b"c", between=ping * 2),
        (*[(PONG, b"p")] * 4, (TEXT, b"abc")),
    )
    yield echoed("a pong between fragments", TEXT, b"ab", pieces(b"a", b"b", between=frame(PONG)))
    yield Case("a close between fragments", frame(TEXT, b"a", fin=False) + close_frame(), close=code(1000))
    yield refused("a continuation of nothing", frame(CONTINUATION, b"x"))
    yield refused("a continuation of nothing that goes on", frame(CONTINUATION, b"x", fin=False))
    after = frame(TEXT, b"one") + frame(CONTINUATION, b"x")
    yield refused("a continuation of a whole message", after, answers=((TEXT, b"one"),))
    yield refused("a text within fragments", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"))
    yield refused("a binary within fragments", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"))
    yield refused("a text within binary fragments", frame(BINARY, b"a", fin=False) + frame(TEXT, b"b", fin=False))


def control() -> Iterator[Case]:
    """Pings and pongs."""
    for payload in (b"", b"ping", b"\x00\xff\xfe", b"x" * 125):
        yield Case(f"a ping of {len(payload)}", frame(PING, payload), ((PONG, payload),))
    yield Case("a ping byte by byte", frame(PING, b"x" * 125), ((PONG, b"x" * 125),), bytewise=True)
    ten = [b"%d" % number for number in range(10)]
    pings = b"".join(frame(PING, payload) for payload in ten)
    yield Case("ten pings", pings, tuple((PONG, payload) for payload in ten))
    yield Case("ten pings byte by byte", pings, tuple((PONG, payload) for payload in ten), bytewise=True)
    yield Case("an unsolicited pong", frame(PONG, b"here") + frame(PING), ((PONG, b""),))
    for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE)):
        yield refused(f"a {name} of 126 bytes", frame(opcode, b"\x03\xe8" + b"x" * 124))
        yield refused(f"a fragmented {name}", frame(opcode, fin=False) + frame(CONTINUATION))
    yield refused("a ping with a length of 64 bits", frame(PING, b"x" * 70_000))


def headers() -> Iterator[Case]:
    """Bits, opcodes, masks and lengths that the RFC forbids."""
    for opcode in (*range(3, 8), *range(11, 16)):
        yield refused(f"the reserved opcode {opcode}", frame(opcode, b"x"))
    yield refused("a reserved opcode after a message", frame(TEXT, b"one") + frame(3), answers=((TEXT, b"one"),))
    for rsv in (1, 2, 3, 4, 7):
        yield refused(f"the reserved bits {rsv:03b}", frame(TEXT, b"x", rsv=rsv))
    for name, opcode in (("binary", BINARY), ("ping", PING), ("pong", PONG), ("close", CLOSE)):
        yield refused(f"a reserved bit on a {name}", frame(opcode, rsv=4))
    yield refused("a reserved bit on a continuation", frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", rsv=4))
    for name, opcode in (("text", TEXT), ("binary", BINARY), ("ping", PING), ("pong", PONG), ("close", CLOSE)):
        yield refused(f"an unmasked {name}", frame(opcode, mask=None))
    yield refused("an unmasked continuation", frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", mask=None))
    for size in (0, 1, 125):
        yield refused(f"{size} bytes in a length of 16 bits", frame(TEXT, b"x" * size, width=2))
    for size in (0, 125, 126, 65_535):
        yield refused(f"{size} bytes in a length of 64 bits", frame(TEXT, b"x" * size, width=8))
    yield refused("a length whose highest bit is set", frame(TEXT, length=2**63 + 5, width=8))


def texts() -> Iterator[Case]:
    """UTF-8, whole and cut into pieces."""
    for text in (
        "κόσμε",
        "漢字",
        "\U0001f600",
        "\x00",
        "\x7f\x80",
        "\ud7ff\ue000",
        "\ufffd\ufffe\uffff",
        "\U0010ffff",
        "\ufeffx",
    ):
        data = text.encode()
        yield echoed(f"the text {text!a}", TEXT, data, frame(TEXT, data))
        fine = b"".join(
            frame(TEXT if at == 0 else CONTINUATION, data[at : at + 1], fin=at == len(data) - 1)
            for at in range(len(data))
        )
        yield echoed(f"the text {text!a} in fragments of a byte", TEXT, data, fine)
    yield echoed("a code point cut by the network", TEXT, b"\xe6\xbc\xa2", frame(TEXT, b"\xe6\xbc\xa2"), bytewise=True)
    wrong = {
        "a continuation byte alone": b"\x80",
        "an overlong slash": b"\xc0\xaf",
        "an overlong NUL": b"\xe0\x80\x80",
        "a surrogate": b"\xed\xa0\x80",
        "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
        "a code point beyond U+10FFFF": b"\xf4\x90\x80\x80",
        "a sequence of five bytes": b"\xf8\x88\x80\x80\x80",
        "FE": b"\xfe",
        "FF": b"\xff",
        "an end within a code point": b"ok \xe6\xbc",
        "a start within a code point": b"\xce\xba\xe1\xbd\xce",
    }
    for name, data in wrong.items():
        yield refused(f"{name}", frame(TEXT, data), UTF8)
        if len(data) > 1:
            parts = frame(TEXT, data[:1], fin=False) + frame(CONTINUATION, data[1:])
            yield refused(f"{name}, in two fragments", parts, UTF8)
    yield refused("a wrong second fragment", frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\xff"), UTF8)
    yield refused("an empty last fragment within a code point", frame(TEXT, b"\xe6", fin=False) + frame(0), UTF8)
    yield refused("a wrong fragment, before the last one", frame(TEXT, b"\xff", fin=False), UTF8)
    yield echoed("a binary that is no UTF-8", BINARY, b"\xc0\xaf", frame(BINARY, b"\xc0\xaf"))


def closes() -> Iterator[Case]:
    """Close frames of every kind."""
    yield Case("a close without a code", close_frame(None), close=b"")
    for number in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999):
        yield Case(f"a close with {number}", close_frame(number), close=code(number))
    for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield refused(f"a close with {number}", close_frame(number))
    yield Case("a close with a reason", close_frame(1000, b"bye"), close=code(1000))
    yield Case("a close with the longest reason", close_frame(1000, b"x" * 123), close=code(1000))
    yield Case("a close with a reason beyond ASCII", close_frame(1000, "adiós".encode()), close=code(1000))
    yield refused("a close with half a code", frame(CLOSE, b"\x03"))
    yield refused("a close whose reason is no UTF-8", close_frame(1000, b"\xc0\xaf"), UTF8)
    yield Case("a close byte by byte", close_frame(1000, b"bye"), close=code(1000), bytewise=True)
    yield Case("a message after a close", close_frame() + frame(TEXT, b"late"), close=code(1000))
    yield Case("a ping after a close", close_frame() + frame(PING), close=code(1000))
    yield Case("two closes", close_frame() + close_frame(1001), close=code(1000))
    yield Case("a message before a close", frame(TEXT, b"one") + close_frame(), ((TEXT, b"one"),), close=code(1000))
    yield Case("nonsense after a close", close_frame() + b"\xff" * 100, close=code(1000))


def sizes() -> Iterator[Case]:
    """Messages that are too large."""
    half = b"x" * (LIMIT // 2)
    yield refused("a text of one byte too many", frame(TEXT, b"x" * (LIMIT + 1), mask=bytes(4)), TOO_BIG)
    yield refused("a binary of one byte too many", frame(BINARY, b"x" * (LIMIT + 1), mask=bytes(4)), TOO_BIG)
    sent = frame(TEXT, half, fin=False, mask=bytes(4)) + frame(CONTINUATION, half + b"x", mask=bytes(4))
    yield refused("fragments of one byte too many", sent, TOO_BIG)
    yield refused("a length of 2^40", frame(TEXT, b"x", length=2**40), TOO_BIG)
    yield refused("a length of 2^63 - 1", frame(BINARY, length=2**63 - 1), TOO_BIG)
    sent = frame(TEXT, b"x", fin=False) + frame(CONTINUATION, length=2 * LIMIT + 1)
    yield refused("a fragment that says it will be too large", sent, TOO_BIG)
    yield refused("what comes after too much", frame(TEXT, length=2**40) + b"x" * 200_000, TOO_BIG)
    yield Case(
        "characters that are few, of bytes that are many",
        frame(TEXT, "漢".encode() * (LIMIT // 3 + 1), mask=bytes(4)),
        close=code(TOO_BIG),
    )


CASES = [case for group in (messages, fragments, control, headers, texts, closes, sizes) for case in group()]


def test_there_are_many_cases_and_each_has_a_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_frame_is_answered_or_closed_as_the_rfc_says(stage: Stage, case: Case) -> None:
    async with await stage.open_websocket() as client:
        for piece in [case.sent[at : at + 1] for at in range(len(case.sent))] if case.bytewise else [case.sent]:
            await client.send(piece)
        if case.close is None:
            assert [await client.frame() for _ in case.answers] == list(case.answers)
            await client.send(frame(PING, b"still there"))
            assert await client.frame() == (PONG, b"still there")
            await client.send(close_frame())
        received = []
        while (last := await client.frame())[0] != CLOSE:
            received.append(last)
        # What was right before may be answered still, or no more.
        assert received == list(case.answers)[: len(received)]
        payload = last[1]
        assert payload[:2] == (case.close if case.close is not None else code(1000))
        assert await client.rest() == b"", "nothing comes after a close frame"
    await stage.until_idle()
    await stage.assert_serves()


async def test_a_flood_after_too_much_is_thrown_away() -> None:
    async with open_stage(config={"websocket_max_message_size": 1000}) as stage, await stage.open_websocket() as client:
        await client.send(frame(TEXT, b"x" * 1001))
        assert (await client.frame())[1][:2] == code(TOO_BIG)
        for _ in range(64):
            await client.send(frame(TEXT, b"y" * 65_536, fin=False, mask=bytes(4)))
        await stage.until_idle()
