"""What the store uses of the inside of redis-py: its commands without its clients, and how these read a URL."""

from collections.abc import Mapping
from typing import Any, Final

import redis
from redis.commands import AsyncCoreCommands
from redis.connection import parse_url

Commands: Final[Any] = AsyncCoreCommands
"""All commands, each a call of `execute_command`; typed for every setting of redis-py at once, so not at all here."""

_LIKE: Final = redis.Redis(protocol=3)
"""A client that never connects: it knows how arguments are encoded and replies shaped."""
ENCODER: Final[Any] = _LIKE.get_encoder()
CONNECTION: Final[Mapping[str, Any]] = {"decode_responses": False, "protocol": 3}
"""What some commands ask about the connection."""
FOR_CLIENTS: Final = frozenset({"keys", "EMPTY_RESPONSE", "NEVER_DECODE"})
"""Options by which a command speaks to the client, not to what shapes the reply."""


def reply_shapes() -> Mapping[str, Any]:
    """Return what shapes a reply of RESP3, by command."""
    shapes: Mapping[str, Any] = _LIKE.response_callbacks
    return shapes


def url_options(url: str) -> dict[str, Any]:
    """Read a `redis://`, `rediss://` or `unix://` URL.

    Raises:
        ValueError: it is none.
    """
    read: Any = parse_url
    return dict(read(url))
