"""What requests and answers are made of (RFC 9112): values of headers, heads, and the frame of a body. No I/O.

It takes what an HTTP/1.1 client has to take, and refuses what two parties may read in two ways.
"""

import re
from typing import Final

from attrs import frozen

Header = tuple[bytes, bytes]

MAX_HEAD_BYTES: Final = 102_400
MAX_LINE_BYTES: Final = 16_384
"""Of a chunk's head, and of all trailers together."""
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\x00]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_END: Final = re.compile(rb"\n\r?\n")
_FOLD: Final = re.compile(rb"[ \t]*\r?\n[ \t]+")
_LENGTH: Final = re.compile(rb"([0-9]{1,18})(?:[ \t]*,[ \t]*\1)*")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class NotHttp(Exception):
    """What a server sends is no HTTP/1.1."""


@frozen
class AnswerHead:
    """The head of an answer."""

    status: int
    headers: list[Header]
    """Names in lower case."""
    length: int | None
    """Of the body, in bytes; None: the body is chunked, or ends with the connection."""
    chunked: bool
    persists: bool
    """Whether another request may follow on the connection, once the body was read to its end."""

    @property
    def framed(self) -> bool:
        """Whether the body has an end of its own; else the connection's end is the body's."""
        return self.chunked or self.length is not None


def plain(text: str) -> bytes:
    """Encode a header's value; anything but printable ASCII is replaced, so that no value can begin another header."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return bytes(code if 32 <= code < 127 else 63 for code in text.encode("utf-8"))


def split_head(received: bytes) -> tuple[bytes, bytes] | None:
    """Split what was received into a head, without its last line feed, and what follows it; None where it is not whole.

    Raises:
        NotHttp: the head is too large.
    """
    end = _END.search(received)
    if (len(received) if end is None else end.start()) > MAX_HEAD_BYTES:
        raise NotHttp("the head of the answer is too large")
    return None if end is None else (received[: end.start()], received[end.end() :])


def parse_head(head: bytes) -> AnswerHead:
    """Parse a head, as `split_head` gives it.

    Raises:
        NotHttp: it is malformed, or its frame is ambiguous.
    """
    first, *lines = head.split(b"\n")
    status = _STATUS.fullmatch(first.removesuffix(b"\r"))
    if status is None:
        raise NotHttp("illegal status line")
    if any(line[:1] in {b" ", b"\t"} for line in lines):
        lines = _FOLD.sub(b" ", b"\n".join(lines)).split(b"\n")
    headers = [_header(line) for line in lines]
    code = int(status[2])
    length, chunked, closes = _frame(headers, code)
    return AnswerHead(code, headers, length, chunked, persists=status[1] == b"1" and not closes)


def _header(line: bytes) -> Header:
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t\r")
    if not colon or not _NAME.fullmatch(name) or b"\0" in value or b"\r" in value:
        raise NotHttp("illegal header line")
    return name.lower(), value


def _frame(headers: list[Header], status: int) -> tuple[int | None, bool, bool]:
    """Return the length of the body, whether it is chunked, and whether the connection ends with it."""
    lengths: list[bytes] = []
    encodings: list[bytes] = []
    closes = False
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            encodings.append(value.lower())
        elif name == b"connection":
            closes = closes or b"close" in {each.strip() for each in value.lower().split(b",")}
    if status < 200 or status in {204, 304}:
        return 0, False, closes
    if encodings:
        if encodings != [b"chunked"]:
            raise NotHttp("unknown transfer encoding")
        # A length beside it is to be ignored, and the connection not to be trusted any further.
        return None, True, closes or bool(lengths)
    if not lengths:
        return None, False, True
    found = _LENGTH.fullmatch(b",".join(lengths))
    if found is None:
        raise NotHttp("bad Content-Length")
    return int(found[1]), False, closes


class Chunks:
    """Takes the chunks of one body apart."""

    __slots__ = ("_begun", "_left", "_line", "_size", "ended", "rest")

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        """What came behind the end."""
        self._left = 0
        """Bytes of the present chunk that are to come."""
        self._begun = False
        """Whether the present chunk still wants the end of its line."""
        self._size: int | None = None
        """Bytes of the trailers so far; None: they have not begun."""
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes in, and return what they hold of the body.

        Raises:
            NotHttp: they are malformed.
        """
        parts: list[bytes] = []
        at = self._take_whole(data, parts)
        while at < len(data):
            if self.ended:
                self.rest += data[at:]
                break
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at:end] if end else data[at:]
            if len(self._line) > MAX_LINE_BYTES:
                raise NotHttp("a chunk has too long a head")
            if not end:
                break
            at = end
            line, self._line = self._line, b""
            self._take(line)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take_whole(self, data: bytes, parts: list[bytes]) -> int:
        """Take the chunks that are there as a whole, as most are; returns where the first thing begins that is none."""
        at = 0
        if self._line or self._left or self._begun or self._size is not None:
            return at
        while (found := _SIZE.match(data, at)) is not None:
            begin = found.end()
            end = begin + int(found[1], 16)
            if end == begin or begin - at > MAX_LINE_BYTES or data[end : end + 2] != b"\r\n":
                break
            parts.append(data[begin:end])
            at = end + 2
        return at

    def _take(self, line: bytes) -> None:
        if self._begun:
            if line != b"\r\n":
                raise NotHttp("a chunk does not end where it should")
            self._begun = False
        elif self._size is not None:
            self._size += len(line)
            if self._size > MAX_LINE_BYTES:
                raise NotHttp("the trailers are too large")
            self.ended = line in {b"\r\n", b"\n"}
        else:
            found = _SIZE.fullmatch(line)
            if found is None:
                raise NotHttp("illegal chunk header")
            self._left = int(found[1], 16)
            self._begun = self._left > 0
            self._size = None if self._begun else 0
