"""What Redis refuses, as errors of this service: none of redis-py's goes further than this package.

An error reply begins with a code. Those of `OUTAGES` are about the server: its state, its settings, what it has lost.
So are some that have no code of their own, by their words. Every other one is about the keys of the command.
"""

from typing import Final

from orchestrator.errors import StoreUnavailable, TenantDamaged

REFUSES: Final = "the server refuses: "
"""How a reason begins that goes on in Redis' own words."""
OUTAGES: Final = frozenset(
    {
        "ASK",  # a node of a cluster names another one, which this client does not follow
        "BUSY",  # a script runs for too long
        "CLUSTERDOWN",
        "CROSSSLOT",  # a cluster keeps the keys of one command apart
        "LOADING",
        "MASTERDOWN",
        "MISCONF",  # it can't persist, and so takes no writes
        "MOVED",  # as ASK
        "NOAUTH",
        "NOGROUP",  # a stream was lost with its consumer group; who reads it creates both again
        "NOPERM",
        "NOREPLICAS",
        "NOSCRIPT",  # it has forgotten a script, which is sent again
        "OOM",
        "READONLY",  # it became a replica
        "TRYAGAIN",
        "UNBLOCKED",  # it became a replica while a command waited
        "WRONGPASS",
    }
)
"""Codes by which a server says that it can't serve, or not us."""
ELSEWHERE: Final = frozenset({"MASTERDOWN", "NOAUTH", "READONLY"})
"""Codes after which a new connection may be better: it leads to the present master, and brings its credentials."""
_OUTAGE_WORDS: Final = (
    "ERR ACL failure in script",
    "ERR The user executing the script can't",  # as the line above, of Redis 7.0
    "ERR Unknown Redis command",  # in a script: it is of an older version
    "ERR unknown command",
    "ERR unknown subcommand",
)


class RedisAway(StoreUnavailable):
    """Redis can't be reached, or does not serve at the moment.

    Args:
        reason: why, for the logs and the operator.
        sent: whether the command may have been executed all the same.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__("The store is away; try again in a moment.", retry_after_ms=1000)
        self._reason = reason
        self.sent = sent
        if reason.startswith(REFUSES):
            self.refusal = reason.removeprefix(REFUSES)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})"

    @property
    def reason(self) -> str:
        """Why, for logs and operators; clients are not told."""
        return self._reason


class NotPermitted(RedisAway):
    """The user of Redis has no right to a command."""


class ScriptMissing(RedisAway):
    """The server does not know a script by its digest: it has to be sent."""


class GroupExists(Exception):
    """The consumer group that was to be created is there."""


_KINDS: Final = {"NOSCRIPT": ScriptMissing, "NOPERM": NotPermitted}


def refusal(text: str) -> Exception:
    """Return the exception for an error reply, which keeps Redis' own words.

    A script may have written before it met a refusal of the server, which `sent` then says.
    """
    code, _, message = text.partition(" ")
    if code in OUTAGES or text.startswith(_OUTAGE_WORDS):
        kind = _KINDS.get(code, RedisAway)
        return kind(f"{REFUSES}{text}", sent="script:" in message)
    if code == "BUSYGROUP":
        return GroupExists(message)
    return TenantDamaged(message if code == "ERR" else text)


def reason_of(refused: Exception) -> str:
    """Return why a server refused, from what `refusal` made of it."""
    return refused.reason if isinstance(refused, RedisAway) else f"{REFUSES}{refused}"


def leads_elsewhere(text: str) -> bool:
    """Tell whether an error reply means that the connection should be made anew."""
    return text.partition(" ")[0] in ELSEWHERE
