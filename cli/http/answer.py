"""The answer to a request: the whole of it, or one that comes piece by piece."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from cli.http.errors import HttpError

ANSWER_BYTES: Final = 64 * 2**20
"""The longest body, and the longest line of a stream, that is taken."""


@frozen
class Answer:
    """A whole answer."""

    url: str
    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    seconds: float
    """From the beginning of the request to the end of the answer."""

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Read the body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


@frozen
class StreamedAnswer:
    """An answer whose body comes while it is read; within the block that has sent the request."""

    url: str
    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    pieces: Iterable[bytes]

    def whole(self) -> Answer:
        """Read it to its end.

        Raises:
            HttpError: it is too long, breaks off, or comes too slowly.
        """
        return Answer(self.url, self.status, self.headers, joined(self.pieces), 0.0)

    def lines(self) -> Iterator[str]:
        """Yield its lines as they come.

        Raises:
            HttpError: one is too long, or the stream breaks off or is silent for too long.
        """
        left = b""
        for piece in self.pieces:
            *lines, left = (left + piece).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
            _check_length(len(left))
        if left:
            yield left.decode("utf-8", "replace")


def joined(pieces: Iterable[bytes]) -> bytes:
    """Return a body that comes in pieces.

    Raises:
        HttpError: it is longer than `ANSWER_BYTES`.
    """
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        _check_length(size)
    return b"".join(kept)


def _check_length(size: int) -> None:
    if size > ANSWER_BYTES:
        raise HttpError(f"its answer is longer than {ANSWER_BYTES // 2**20} MiB")
