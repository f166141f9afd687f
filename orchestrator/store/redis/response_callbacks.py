"""Replies in the shapes of redis-py."""

from collections.abc import Mapping
from typing import Any, Final

import redis

_LIKE: Final = redis.Redis(protocol=3)
"""A client of redis-py that never connects: it knows how arguments are encoded and replies shaped."""

ENCODER: Final[Any] = _LIKE.get_encoder()
_FOR_CLIENTS: Final = frozenset({"keys", "EMPTY_RESPONSE", "NEVER_DECODE"})
"""Options by which a command of redis-py speaks to the client, not to what shapes the reply."""


def _callbacks() -> Mapping[str, Any]:
    shapes = _LIKE.response_callbacks
    return {spelling: shapes[name] for name in shapes for spelling in (name.upper(), name.lower())}


CALLBACKS: Final = _callbacks()
"""What shapes a reply of RESP3, by command in upper and in lower case."""


def shape(name: str, reply: Any, options: Mapping[str, Any]) -> Any:
    """Shape a reply as the options of redis-py's command say.

    Raises:
        ResponseError, RedisAway: the reply is one, and no option says what stands in its place.
    """
    if isinstance(reply, Exception):
        if isinstance(reply, redis.ResponseError) and "EMPTY_RESPONSE" in options:
            return options["EMPTY_RESPONSE"]
        raise reply
    callback = CALLBACKS.get(name)
    if callback is None:
        return reply
    return callback(reply, **{key: value for key, value in options.items() if key not in _FOR_CLIENTS})
