"""What Redis refuses, as exceptions: those of redis-py, and one of ours for a Redis that can't serve at all."""

from collections.abc import Mapping
from typing import Final

from redis import exceptions

from orchestrator.errors import StoreUnavailable

NOT_SERVING: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"}
)
"""Codes by which a server says that it is there, but can't serve at the moment."""

_BY_CODE: Final[Mapping[str, type[exceptions.RedisError]]] = {
    "CROSSSLOT": exceptions.ClusterCrossSlotError,
    "EXECABORT": exceptions.ExecAbortError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOPERM": exceptions.NoPermissionError,
    "NOSCRIPT": exceptions.NoScriptError,
    "WRONGPASS": exceptions.AuthenticationError,
}


class RedisAway(StoreUnavailable):
    """Redis can't be reached, or does not serve at the moment.

    Args:
        reason: why, for the logs and the operator.
        sent: whether the command may have been executed all the same.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__("The store is away; try again in a moment.", retry_after_ms=1000)
        self.reason = reason
        self.sent = sent


def refusal(text: str) -> Exception:
    """Return the exception for an error reply.

    Codes of commands keep redis-py's classes and messages. A server that does not serve gives `RedisAway`; a script
    may have written before it met such a refusal, which `sent` then says.
    """
    code, _, message = text.partition(" ")
    if code in NOT_SERVING:
        return RedisAway(f"the server refuses: {text}", sent="script:" in message)
    kind = _BY_CODE.get(code)
    if kind is None:
        return exceptions.ResponseError(message if code == "ERR" else text)
    return kind(message)
