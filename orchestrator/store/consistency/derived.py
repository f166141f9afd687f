"""What follows from the records of a tenant: lists, counts and timers; whether it is there, and putting it right."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from orchestrator.models.common.ids import is_id
from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.store.consistency.key_types import KeyTypes, shared_types
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_DERIVE: Final = Script("consistency/derive")
_SCANNED: Final = 1000
_PART: Final = 100
_TENANT_AT: Final = 2
_K = ViolationKind
_COUNTS: Final = ("turns", "users", "kept", "open", "cursors")
DERIVED: Final = frozenset(
    {
        _K.NOT_INDEXED,
        _K.SESSION_UNLISTED,
        _K.WRONG_COUNT,
        _K.BATCH_MISCOUNTED,
        _K.SCHEDULE_UNLISTED,
        _K.WRONG_LOG,
        _K.WRONG_FEED,
        _K.COUNTER_DAMAGED,
        _K.NOTIFICATIONS_MISCOUNTED,
    }
)
"""What the script looks at."""
SHARED: Final = frozenset({_K.TENANT_UNLISTED, _K.WRONG_WEIGHT})
"""What stands in keys of the whole service."""


@frozen
class TenantRecords:
    """The ids of a tenant's records that are there, whether a list names them or not."""

    tasks: set[str] = field(factory=set)
    sessions: set[str] = field(factory=set)
    batches: set[str] = field(factory=set)
    schedules: set[str] = field(factory=set)
    readers: set[str] = field(factory=set)
    """Users who have notifications."""
    listing: set[str] = field(factory=set)
    """Users who have a list of sessions."""
    behind: set[str] = field(factory=set)
    """Users whose tasks wait behind others of theirs."""
    counters: set[str] = field(factory=set)
    """Budgets and ledgers of usage: the noun, and what ends the key."""
    wrong: list[Violation] = field(factory=list)
    """Keys of the wrong type: what needs them can't be done."""


class DerivedStore(TenantStore):
    """Finds what does not follow from the records of a tenant, and puts it right."""

    async def records(self, tenant_id: str) -> TenantRecords:
        """Find the records of a tenant among all keys, and keys of the wrong type; takes as long as there are keys."""
        found = TenantRecords()
        kinds = {
            self.keys.task(tenant_id, ""): found.tasks,
            self.keys.session(tenant_id, ""): found.sessions,
            self.keys.batch(tenant_id, ""): found.batches,
            self.keys.schedule(tenant_id, ""): found.schedules,
            self.keys.user_notifications(tenant_id, ""): found.readers,
            self.keys.user_sessions(tenant_id, ""): found.listing,
            self.keys.user_tasks(tenant_id, ""): found.behind,
        }
        budgets, ledgers = self.keys.budget(tenant_id, ""), self.keys.usage(tenant_id, "")
        types, shared = KeyTypes(self.keys, tenant_id), shared_types(self.keys)
        found.wrong.extend(await self._wrong(shared))
        cursor = 0
        while True:
            cursor, raw = await self.redis.scan(cursor, match=f"orchestrator:*{tenant_id}*", count=_SCANNED)
            names = [name.decode(errors="replace") for name in raw]
            for name in names:
                found.counters.update(_counters(name, budgets, "budget"), _counters(name, ledgers, "usage"))
                for prefix, ids in kinds.items():
                    rest = name.removeprefix(prefix)
                    if rest != name:
                        ids.update(_ids(rest, has_more=ids is found.readers))
            found.wrong.extend(
                await self._wrong({name: kind for name in names if (kind := types.of(name)) is not None})
            )
            if cursor == 0:
                return found

    async def _wrong(self, types: Mapping[str, str]) -> list[Violation]:
        """Return which of some keys are of another type than they should."""
        held = await self.redis.gather([("TYPE", key) for key in types])
        return [
            Violation(_K.KEY_DAMAGED, key, f"is a {kind.decode()}, and should be a {wanted}")
            for (key, wanted), kind in zip(types.items(), held, strict=True)
            if kind.decode() not in {wanted, "none"}
        ]

    async def derived(self, tenant_id: str, records: TenantRecords) -> list[Violation]:
        """Return what does not follow from the records of a tenant."""
        things = [(_K.NOT_INDEXED, name) for name in sorted(records.tasks)]
        things += [(_K.SESSION_UNLISTED, name) for name in sorted(records.sessions)]
        things += [(_K.WRONG_COUNT, name) for name in sorted(records.sessions)]
        for noun, names in (("session", records.sessions), ("task", records.tasks), ("batch", records.batches)):
            things += [(_K.WRONG_LOG, f"{noun} {name}") for name in sorted(names)]
        things += [(_K.WRONG_LOG, f"notifications {name}") for name in sorted(records.readers)]
        things += [(_K.WRONG_FEED, tenant_id)]
        things += [(_K.COUNTER_DAMAGED, name) for name in sorted(records.counters)]
        things += [(_K.NOTIFICATIONS_MISCOUNTED, name) for name in sorted(records.readers)]
        things += [(_K.BATCH_DAMAGED, name) for name in sorted(records.batches)]
        things += [(_K.BATCH_MISCOUNTED, name) for name in sorted(records.batches)]
        things += [(_K.SCHEDULE_UNLISTED, name) for name in sorted(records.schedules)]
        # Sums come last: what they are made of is looked at before.
        things += [(_K.WRONG_COUNT, name) for name in _COUNTS]
        return await self._derive(tenant_id, things, mend=False)

    async def mend_derived(self, tenant_id: str, fault: Violation) -> bool:
        """Put right what does not follow; tells whether it was still so."""
        return bool(await self._derive(tenant_id, [(fault.kind, fault.subject)], mend=True))

    async def _derive(
        self, tenant_id: str, things: Sequence[tuple[ViolationKind, str]], *, mend: bool
    ) -> list[Violation]:
        found: list[Violation] = []
        due = self.keys.schedules_due(tenant_id)
        for start in range(0, len(things), _PART):
            flat = [word for kind, name in things[start : start + _PART] for word in (kind.value, name)]
            rows = await self.run(_DERIVE, tenant_id, "1" if mend else "0", *flat, keys=[due])
            found += [
                Violation(_K(kind.decode()), name.decode(errors="replace"), says.decode(errors="replace"))
                for kind, name, says in rows
            ]
        return found

    @on_shared_keys
    async def unshared(self, tenant_id: str, records: TenantRecords) -> list[Violation]:
        """Return what the keys of the whole service lack of a tenant; one that only uses the gateway is in no list."""
        listed, held, configured = await self.redis.gather(
            [
                ("SISMEMBER", self.keys.tenants, tenant_id),
                ("HGET", self.keys.weights, tenant_id),
                ("HGET", self.keys.tenant_config(tenant_id), "weight"),
            ]
        )
        found = []
        if not listed and (records.tasks or records.sessions):
            found.append(Violation(_K.TENANT_UNLISTED, tenant_id, "has records, but is not in the list of tenants"))
        if _weight(held) != _weight(configured):
            says = f"is served with the weight {_weight(held):g}, and is configured to have {_weight(configured):g}"
            found.append(Violation(_K.WRONG_WEIGHT, tenant_id, says))
        return found

    @on_shared_keys
    async def mend_shared(self, tenant_id: str, fault: Violation) -> bool:
        """Have the keys of the whole service say what they should of a tenant."""
        if fault.kind is _K.TENANT_UNLISTED:
            return bool(await self.redis.sadd(self.keys.tenants, tenant_id))
        configured = await self.redis.hget(self.keys.tenant_config(tenant_id), "weight")
        if configured is None:
            return bool(await self.redis.hdel(self.keys.weights, tenant_id))
        await self.redis.hset(self.keys.weights, tenant_id, configured)
        return True

    @on_shared_keys
    async def all_tenants(self) -> set[str]:
        """Return all tenants: those that are listed, have open calls of the gateway, or have tasks or sessions.

        It looks through all keys. A list that can't be read is left out: the check of each tenant names it.
        """
        commands = [("SMEMBERS", self.keys.tenants), ("ZRANGE", self.keys.doubts, 0, -1)]
        replies = await self.redis.gather(commands, raise_on_error=False)
        members = [
            raw.decode(errors="replace") for reply in replies if not isinstance(reply, Exception) for raw in reply
        ]
        found = {name for name in members if is_id(name)}
        cursor = 0
        while True:
            cursor, names = await self.redis.scan(cursor, match="orchestrator:[ts]*", count=_SCANNED)
            for name in (raw.decode(errors="replace") for raw in names):
                parts = name.split(":")
                if len(parts) > _TENANT_AT and parts[1] in {"task", "session"}:
                    found.add(parts[_TENANT_AT].strip("{}"))
            if cursor == 0:
                return found


def _ids(rest: str, *, has_more: bool) -> set[str]:
    """Return the id that ends a key, or that has more behind it where that is asked for."""
    one, colon, _ = rest.partition(":")
    return {one} if one and (has_more or not colon) else set()


def _counters(key: str, prefix: str, noun: str) -> set[str]:
    rest = key.removeprefix(prefix)
    # Marks of calls that were counted are no counters.
    return {f"{noun} {rest}"} if rest != key and rest[:1].isdigit() else set()


def _weight(raw: bytes | None) -> float:
    try:
        return 1.0 if raw is None else float(raw)
    except ValueError:
        return 1.0
