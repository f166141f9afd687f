"""Replies in the shapes of redis-py."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import TenantDamaged
from orchestrator.frameworks.redis_inside import FOR_CLIENTS, reply_shapes


def _callbacks() -> Mapping[str, Any]:
    shapes = reply_shapes()
    return {spelling: shapes[name] for name in shapes for spelling in (name.upper(), name.lower())}


CALLBACKS: Final = _callbacks()
"""What shapes a reply of RESP3, by command in upper and in lower case."""


def shape(name: str, reply: Any, options: Mapping[str, Any]) -> Any:
    """Shape a reply as the options of redis-py's command say.

    Raises:
        TenantDamaged, RedisAway: the reply is one, and no option says what stands in its place.
    """
    if isinstance(reply, Exception):
        if isinstance(reply, TenantDamaged) and "EMPTY_RESPONSE" in options:
            return options["EMPTY_RESPONSE"]
        raise reply
    callback = CALLBACKS.get(name)
    if callback is None:
        return reply
    return callback(reply, **{key: value for key, value in options.items() if key not in FOR_CLIENTS})
