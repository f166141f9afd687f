"""Heads and chunks of answers: what is taken, and what two parties may read in two ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.transport.http_head import (
    MAX_HEAD_BYTES,
    MAX_LINE_BYTES,
    Chunks,
    NotHttp,
    parse_head,
    plain,
    split_head,
)


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def test_a_head_is_split_from_what_follows_it() -> None:
    assert split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}") == (b"HTTP/1.1 200 OK\r\nA: b\r", b"{}")
    assert split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n") is None


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n"])
def test_lines_may_end_without_a_carriage_return(end: bytes) -> None:
    found = split_head(b"HTTP/1.1 200 OK\nContent-Length: 4" + end + b"\r\n\r\n")
    assert found is not None
    assert (parse_head(found[0]).length, found[1]) == (4, b"\r\n\r\n")


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_without_end_is_refused(end: bytes) -> None:
    with pytest.raises(NotHttp, match="too large"):
        split_head(b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD_BYTES + end)


@pytest.mark.parametrize(
    "first",
    ["", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/2.0 200 OK", "HTTP/1.1  200", "http/1.1 200", "220 ready"],
)
def test_a_status_line_is_one_of_http_1(first: str) -> None:
    with pytest.raises(NotHttp, match="status line"):
        parse_head(head(first, "Content-Length: 0"))


def test_headers_are_read_by_name() -> None:
    found = parse_head(head("HTTP/1.1 404 No such thing", "Retry-After:  3\t", "X:", "Long: a", "  b", "\tc"))
    assert found.status == 404
    assert found.headers == [(b"retry-after", b"3"), (b"x", b""), (b"long", b"a b c")]


@pytest.mark.parametrize("line", ["no colon", ": no name", "A : b", "Ä: b", "A: b\0", "A: b\rC: d"])
def test_a_malformed_header_is_refused(line: str) -> None:
    with pytest.raises(NotHttp, match="header line"):
        parse_head(head("HTTP/1.1 200 OK", line))


@pytest.mark.parametrize(
    ("lines", "length", "chunked", "persists"),
    [
        (["HTTP/1.1 200", "Content-Length: 7"], 7, False, True),
        (["HTTP/1.1 200", "Content-Length: 7, 7", "Content-Length: 7"], 7, False, True),
        (["HTTP/1.1 200", "Content-Length: 7", "Connection: Keep-Alive, Close"], 7, False, False),
        (["HTTP/1.0 200", "Content-Length: 7"], 7, False, False),
        (["HTTP/1.1 200", "Transfer-Encoding: Chunked"], None, True, True),
        (["HTTP/1.1 200", "Transfer-Encoding: chunked", "Content-Length: 7"], None, True, False),
        (["HTTP/1.1 200"], None, False, False),
        (["HTTP/1.1 204", "Content-Length: 7"], 0, False, True),
        (["HTTP/1.1 304"], 0, False, True),
        (["HTTP/1.1 103"], 0, False, True),
    ],
)
def test_the_frame_of_a_body(lines: list[str], length: int | None, chunked: bool, persists: bool) -> None:
    found = parse_head(head(*lines))
    assert (found.length, found.chunked, found.persists) == (length, chunked, persists)
    assert found.framed is (chunked or length is not None)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Content-Length: -1",
            "Content-Length: 1, 2",
            "Content-Length: 0x1",
            "Content-Length: ",
            "Content-Length: 1_0",
        ),
        *("Content-Length: 1234567890123456789", "Content-Length: 1\r\nContent-Length: 2"),
        *("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: identity",
    ],
)
def test_an_ambiguous_frame_is_refused(line: str) -> None:
    with pytest.raises(NotHttp):
        parse_head(head("HTTP/1.1 200 OK", line))


def test_a_value_can_not_begin_another_header() -> None:
    assert plain("a\r\nB: c\0") == b"a??B: c?"
    assert plain("ü") == b"??"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_chunks_may_be_cut_anywhere(bodies: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(b"%x;a=b\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\nTrailer: x\r\n\r\nnext"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    chunks, read = Chunks(), b""
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        read += chunks.feed(wire[start:end])
    assert (read, chunks.ended, chunks.rest) == (b"".join(bodies), True, b"next")


@given(
    st.lists(
        st.sampled_from(
            [b"3\r\nabc\r\n", b"1;x=y\r\na\r\n", b"0\r\n", b"\r\n", b"2\r\n", b"ab", b"\n", b"T: x\r\n", b"0", b";"]
        )
    )
)
def test_chunks_are_the_same_whole_and_byte_by_byte(parts: list[bytes]) -> None:
    def fed(pieces: list[bytes]) -> tuple[bytes, bool, bytes] | None:
        chunks, read = Chunks(), b""
        try:
            for piece in pieces:
                read += chunks.feed(piece)
        except NotHttp:
            return None
        return read, chunks.ended, chunks.rest

    wire = b"".join(parts)
    assert fed([wire]) == fed([wire[at : at + 1] for at in range(len(wire))])


def test_what_came_together_is_read_together() -> None:
    assert Chunks().feed(b"2\r\nab\r\n3\r\ncde\r\n1\r\n") == b"abcde"


@pytest.mark.parametrize(
    "wire",
    [
        *(b"x\r\n", b"\r\n", b"-1\r\n", b"2\n", b"2 2\r\n", b"1234567890abcdef0\r\n", b"2\r\nabc\r\n", b"2\r\nab\n"),
        b"1;" + b"x" * MAX_LINE_BYTES,
        b"0\r\n" + b"A: b\r\n" * MAX_LINE_BYTES,
    ],
)
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(NotHttp):
        Chunks().feed(wire)
