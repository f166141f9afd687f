"""Answers that come through Redis."""

from attrs import frozen


@frozen
class QueueReply:
    """One of the replies to a request, in the order of their numbers."""

    sequence: int
    """From 0."""
    last: bool
    status: int
    """As over HTTP: 200, 202 where the result comes later, and those of errors."""
    body: bytes
    """As over HTTP: a JSON object, or newline-delimited ones of a stream."""
    retry_after: int | None = None
    """Seconds to wait, where the service refuses for the moment."""
