"""Runs of one script that are asked for at the same moment: one command for all, whose reply has a part for each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.store.redis.packing import pack_part
from orchestrator.store.redis.pending_replies import PendingReply


class Common(NamedTuple):
    """What those who join have in common: the script, and the keys and arguments that come first."""

    digest: str
    keys: tuple[str, ...]
    args: tuple[Any, ...]


class Part:
    """What one of them adds.

    Args:
        keys: they come behind the common ones, and those of parts that came before.
        args: the same for arguments.

    Raises:
        TypeError: one of them is neither text, bytes nor a number.
    """

    __slots__ = ("args", "keys", "packed_args", "packed_keys")

    def __init__(self, keys: Sequence[str], args: Sequence[Any]) -> None:
        self.keys = keys
        self.args = args
        self.packed_keys = pack_part(keys) if keys else b""
        self.packed_args = pack_part(args)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.packed_keys) + len(self.packed_args)


class JoinedReplies:
    """The place of those who have joined: one reply comes, a list with a part for each, or an error for all.

    Args:
        common: what they have in common.
        since: when the first of them got in line.
    """

    __slots__ = ("_common", "_parts", "_slots", "since")

    def __init__(self, common: Common, since: float) -> None:
        self.since = since
        self._common = common
        self._parts: list[Part] = []
        self._slots: list[PendingReply] = []

    def add(self, part: Part, slot: PendingReply) -> None:
        """Take one more in."""
        self._parts.append(part)
        self._slots.append(slot)

    @property
    def callers(self) -> int:
        """How many have joined."""
        return len(self._slots)

    def packed(self) -> bytes:
        """Return the command."""
        (digest, keys, args), parts = self._common, self._parts
        key_count = len(keys) + sum(len(part.keys) for part in parts)
        count = 3 + key_count + len(args) + sum(len(part.args) for part in parts)
        return b"".join(
            (
                b"*%d\r\n" % count,
                pack_part(("EVALSHA", digest, key_count, *keys)),
                *[part.packed_keys for part in parts],
                pack_part(args),
                *[part.packed_args for part in parts],
            )
        )

    def resolve(self, reply: Any) -> None:
        """Hand out the reply."""
        slots = self._slots
        if type(reply) is list and len(reply) == len(slots):
            for slot, part in zip(slots, reply, strict=True):
                slot.resolve(part)
        else:
            self.fail(reply)

    def fail(self, error: Any) -> None:
        """Wake all of them with the same in place of their replies."""
        for slot in self._slots:
            slot.fail(error)
