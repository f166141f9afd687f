"""What all stores of tenants' data share."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from attrs import field, frozen

from orchestrator.models.tasks.task import Lane
from orchestrator.store.contents import Contents
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.records import moment
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

V = TypeVar("V", bound=StrEnum)

MOST_RINGS: Final = 1000
"""Rings that are kept at most until they are read."""


@frozen
class TenantStore:
    """Runs scripts on one tenant's keys.

    Args:
        redis: the shared connection.
        keys: the names of keys.
        log_length: how many events a log keeps.
        limit_defaults: what bounds tenants without limits of their own; only stores that enforce limits need it.
        contents: seals and opens what users and services say.
    """

    redis: Redis
    keys: Keys
    log_length: int
    limit_defaults: LimitDefaults = field(factory=LimitDefaults)
    contents: Contents = field(factory=Contents)

    async def run(self, script: Script, tenant_id: str, *args: object, keys: Sequence[str] = ()) -> Any:
        """Run `script` on the keys of `tenant_id`; `keys` and `args` follow those that every such script has."""
        return await script(
            self.redis,
            keys=[self.keys.lane(tenant_id, Lane.NORMAL), *keys],
            args=[self.keys.tenant(tenant_id), self.log_length, *args],
        )

    async def join(
        self,
        script: Script,
        tenant_id: str,
        *args: object,
        keys: Sequence[str] = (),
        own_keys: Sequence[str] = (),
        own_args: Sequence[Any],
    ) -> Any:
        """Run `script` as `run` does, for one subject; those of a tenant that come at the same moment share a run.

        Args:
            script: replies with a list, which has a part for each subject.
            tenant_id: whose keys.
            *args: what all of them have in common.
            keys: the same.
            own_keys: what this subject adds.
            own_args: the same.
        """
        return await script.join(
            self.redis,
            keys=[self.keys.lane(tenant_id, Lane.NORMAL), *keys],
            args=[self.keys.tenant(tenant_id), self.log_length, *args],
            own_keys=own_keys,
            own_args=own_args,
        )

    @on_shared_keys
    async def note_tenant(self, tenant_id: str) -> None:
        """Have a tenant in the list of all, where the sweep finds it."""
        await note_tenant(self.redis, self.keys, tenant_id)

    async def now_ms(self) -> int:
        """Return the present moment (ms) by Redis' clock, which moments that scripts have written are compared with."""
        seconds, microseconds = await self.redis.execute_command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


async def note_tenant(redis: Redis, keys: Keys, tenant_id: str) -> None:
    """Have a tenant in the list of all; a new one is rung for, so that its lanes are watched from now on."""
    if await redis.sadd(keys.tenants, tenant_id):
        await redis.execute_command("XADD", keys.intake, "MAXLEN", "~", MOST_RINGS, "*", "tenant", tenant_id)


def read_verdict(kind: type[V], reply: Sequence[Any]) -> tuple[V, str]:
    """Read what a script has decided: its verdict, and the word that comes with it, out of a record, or nothing."""
    word = reply[1] if len(reply) > 1 else None
    return kind(reply[0].decode()), (word or b"").decode(errors="replace")


async def descending(redis: Redis, index: str, before: tuple[int, str] | None, count: int) -> list[tuple[int, str]]:
    """Read a sorted set from the highest score down.

    Args:
        redis: the connection.
        index: the sorted set: ids by moment (ms).
        before: the (moment, id) that was read last; None: from the start.
        count: how many at most.
    """
    # Entries of the very same millisecond are in the order of their ids: those already read are skipped.
    highest = "+inf" if before is None else before[0]
    skip = 0
    found: list[tuple[int, str]] = []
    while True:
        rows = await redis.zrevrangebyscore(index, highest, "-inf", skip, count + 1, withscores=True)
        places = [(moment(score), raw.decode(errors="replace")) for raw, score in rows]
        found += [place for place in places if before is None or place < before]
        if len(found) >= count or len(rows) <= count:
            return found[:count]
        skip += len(rows)
