"""What the server itself answers, where a request never reaches the application."""

from collections.abc import Callable
from typing import Final

from attrs import frozen

Body = tuple[bytes, bytes]
"""A media type and the bytes."""
RefusalBody = Callable[[int, str], Body]
"""Makes the body of a refusal of its status and its sentence."""


@frozen
class Refusal:
    """A request that is answered by the server, and the connection closed behind it."""

    status: int
    message: str
    """One sentence that a person can act on."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


HEAD_TOO_LARGE: Final = Refusal(431, "The head of the request is too large.")
HEAD_TOO_SLOW: Final = Refusal(408, "The head of the request did not arrive in time.")
TOO_MANY_CONNECTIONS: Final = Refusal(429, "The address has too many open connections.", ((b"retry-after", b"1"),))
UNKNOWN_HOST: Final = Refusal(404, "The server does not answer for this host.")
FAILED: Final = Refusal(500, "The service failed.")


def plain_body(_: int, message: str) -> Body:
    """Make a refusal's body of its sentence alone."""
    return b"text/plain; charset=utf-8", message.encode()
