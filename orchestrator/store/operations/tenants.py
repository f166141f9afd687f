"""Tenants in Redis."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from orchestrator.errors import TenantDamaged
from orchestrator.models.common.ids import read_id
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.operations.tenant import Depth, DrainMode, Queue, Tenant, TenantState
from orchestrator.store.contents import SECRET
from orchestrator.store.operations.tenant_config import read_config, state_of
from orchestrator.store.records import reading
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, read_verdict

_READ: Final = Script("operations/read_tenant")
_CHANGE: Final = Script("operations/change_tenant_state")
_ADVANCE: Final = Script("operations/advance_drain")
_CONFIGURE: Final = Script("operations/configure_tenant")
_SECRET: Final = Script("operations/callback_secret")

BOTH_SIGN_MS: Final = 86_400_000
"""How long a secret that was replaced signs callbacks beside the new one, so that receivers need not change at once."""

MOVED_AT_ONCE: Final = 500
"""Tasks that one step of a drain puts aside or back: a step must not hold up others."""


@frozen
class TenantReading:
    """A tenant as it was found."""

    tenant: Tenant
    accepted_per_minute: int
    """Tasks accepted within the last minute."""


class TenantStateVerdict(StrEnum):
    """What became of a change of a tenant's state."""

    OK = "ok"
    REFUSED = "refused"
    """A tenant that drains, or is drained, can't be paused."""


class TenantStates(TenantStore):
    """The states of tenants."""

    @on_shared_keys
    async def known(self, tenant_id: str) -> bool:
        """Tell whether the tenant ever had a session."""
        return bool(await self.redis.sismember(self.keys.tenants, tenant_id))

    @on_shared_keys
    async def names(self) -> list[str]:
        """Return all tenants, in order of their names."""
        members = await self.redis.smembers(self.keys.tenants)
        return sorted(self.redis.unreadable.read_all(self.keys.tenants, read_id, members))

    async def read(self, tenant_id: str) -> TenantReading:
        """Read a tenant's state, its configuration, and how much of its work is where.

        Raises:
            TenantDamaged: a key is of the wrong type.
        """
        return _read(tenant_id, await self.run(_READ, tenant_id))

    async def show(self, tenant_id: str) -> Tenant:
        """Read a tenant as far as it can be read; `damage` says what can't."""
        return (await self._read_or_damaged(tenant_id)).tenant

    async def change_state(
        self,
        tenant_id: str,
        new: TenantState,
        *,
        drain: DrainMode = DrainMode.WORK_OFF,
        deadline_ms: int | None = None,
    ) -> tuple[TenantStateVerdict, TenantState]:
        """Change a tenant's state; doing it twice is fine.

        Args:
            tenant_id: the tenant.
            new: active, paused or draining. A tenant that drains becomes active when its parked tasks are back in
                their places (`advance`).
            drain: what a drain does with what is queued.
            deadline_ms: the time until a drain parks what is still queued; None: it never does.

        Returns:
            The verdict, and the state that the tenant was in.
        """
        deadline = "" if deadline_ms is None else deadline_ms
        verdict, previous = read_verdict(TenantStateVerdict, await self.run(_CHANGE, tenant_id, new, drain, deadline))
        return verdict, state_of(previous)

    async def advance(self, tenant_id: str, passed_over: Sequence[str]) -> TenantState:
        """Take a drain on as far as it goes at the moment; returns the state that the tenant is in then.

        Args:
            tenant_id: whose.
            passed_over: types whose tasks hold up no drain while they wait for their next attempt.
        """
        while True:
            state, more = await self.run(_ADVANCE, tenant_id, MOVED_AT_ONCE, *passed_over)
            if not more:
                return state_of(state.decode(errors="replace"))

    async def configure(self, tenant_id: str, changes: Mapping[str, float | int | str | None]) -> None:
        """Set what is a tenant's own; None removes it."""
        fields = [part for name, value in changes.items() for part in (name, _written(value))]
        await self.run(_CONFIGURE, tenant_id, *fields)
        if "weight" in changes:
            weight = changes["weight"]
            if weight is None or weight == 1:
                await self.redis.hdel(self.keys.weights, tenant_id)
            else:
                await self.redis.hset(self.keys.weights, tenant_id, repr(weight))

    async def callback_secrets(self, tenant_id: str, new: str, *, rotate: bool = False) -> list[str]:
        """Return what signs a tenant's callbacks, the secret that holds first; it is made when it is first wanted.

        Args:
            tenant_id: whose.
            new: it becomes the tenant's where there is none yet.
            rotate: it replaces the one that holds.

        Raises:
            RecordDamaged: what is kept is no text.
        """
        sealed = self.contents.seal(tenant_id, SECRET, new)
        reply = await self.run(_SECRET, tenant_id, sealed, "1" if rotate else "0", BOTH_SIGN_MS)
        with reading("tenant", tenant_id):
            return [self.contents.open(tenant_id, SECRET, secret).decode() for secret in reply]

    async def queue(self, tenant_id: str) -> Queue:
        """Return a tenant's queue as far as it can be read; `damage` says what can't."""
        found = await self._read_or_damaged(tenant_id)
        waiting, owing = await self.redis.gather(
            [("ZSCORE", self.keys.ready, tenant_id), ("ZSCORE", self.keys.debts, tenant_id)]
        )
        tenant = found.tenant
        return Queue(
            tenant_id=tenant_id,
            state=tenant.state,
            depth=tenant.depth,
            queued=tenant.queued,
            backlog=tenant.backlog,
            in_hand=tenant.in_hand,
            delayed=tenant.delayed,
            parked=tenant.parked,
            dead_letters=tenant.dead_letters,
            behind_users=tenant.behind_users,
            behind_sessions=tenant.behind_sessions,
            batch_items=tenant.batch_items,
            oldest_waiting=tenant.oldest_waiting,
            accepted_per_minute=found.accepted_per_minute,
            weight=tenant.weight,
            virtual_time=next((float(score) for score in (waiting, owing) if score is not None), None),
            damage=tenant.damage,
        )

    async def _read_or_damaged(self, tenant_id: str) -> TenantReading:
        try:
            return await self.read(tenant_id)
        except TenantDamaged as damage:
            try:
                state = state_of((await self.redis.hget(self.keys.tenant_config(tenant_id), "state") or b"").decode())
            except (TenantDamaged, UnicodeDecodeError):
                state = TenantState.ACTIVE
            tenant = Tenant(tenant_id, state, queued=0, in_hand=0, delayed=0, dead_letters=0, damage=damage.reason)
            return TenantReading(tenant, accepted_per_minute=0)


def _written(value: float | int | str | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else repr(value)


def _read(tenant_id: str, reply: list[Any]) -> TenantReading:
    with reading("tenant", tenant_id):
        high, normal, low, in_hand, delayed, parked, behind, dead, oldest, accepted, flat, turns, items = reply
        config = read_config(dict(zip(flat[::2], flat[1::2], strict=True)))
        queued = high + normal + low + behind
        tenant = Tenant(
            tenant_id=tenant_id,
            state=config.state,
            queued=queued,
            backlog=queued + turns + items + in_hand + delayed + parked,
            in_hand=in_hand,
            delayed=delayed,
            dead_letters=dead,
            parked=parked,
            depth=Depth(high, normal, low),
            behind_users=behind,
            behind_sessions=turns,
            batch_items=items,
            oldest_waiting=to_timestamp(oldest) if oldest else None,
            weight=config.weight,
            limits=config.limits,
            fair_users=config.fair_users,
            tier=config.tier,
            spending=config.spending,
            models=config.models,
            drain=config.drain,
            drain_deadline=config.drain_deadline,
            damage="; ".join(f"{fault.name} {fault.says}" for fault in config.faults) or None,
        )
        return TenantReading(tenant, accepted)
