"""Open calls of the gateway: what is reserved for each, and what is needed to ask again.

A call is open from its reservation until what it has spent is counted. Its process looks after it, under a lease; a
call whose lease runs out is in doubt, and belongs to the process that takes it then.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import orjson
from attrs import field, frozen

from orchestrator.models.common.ids import read_id
from orchestrator.models.gateway.gateway import CallEnding, GatewayCall, InDoubtCall
from orchestrator.models.gateway.usage import Payer, Spending, UsageKind
from orchestrator.models.tasks.task import Lane
from orchestrator.store.gateway.usage import KEPT_DAYS, KEPT_DAYS_BY_USER
from orchestrator.store.records import as_object, reading
from orchestrator.store.redis.errors import ScriptMissing
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

MARK_SECONDS: Final = 25 * 3600
"""How long a settled call is known by its name: services answer a repetition for a day."""
_DAY_SECONDS: Final = 86_400
_LIMITS: Final = ("requests_minute", "tokens_minute", "tokens_day", "tokens_month")
_RESERVE: Final = Script("gateway/reserve_call")
_SETTLE: Final = Script("gateway/settle_call")
_POSTPONE: Final = Script("gateway/postpone_calls")
_TAKE: Final = Script("gateway/take_in_doubt")
_MARK: Final = Script("scheduling/mark_due")
_TENANTS: Final = Script("gateway/take_in_doubt_tenants")
_DROP: Final = Script("gateway/drop_in_doubt_tenant")


class CallReserveVerdict(StrEnum):
    """What `reserve` decided."""

    RESERVED = "reserved"
    JOINED = "joined"
    SETTLED = "settled"
    RATE = "rate"
    BUDGET = "budget"


@frozen
class Reserved:
    """A call may be made."""

    joined: bool = False
    """It is open already: another caller makes it too, or is about to ask for it."""
    settled: bool = False
    """It was made and counted before: nothing is reserved, and nothing will be counted."""


@frozen
class Refused:
    """A call must not be made now."""

    by_budget: bool
    """By a budget; else by a rate."""
    wait_ms: int
    says: str


@frozen
class GatewayCalls(TenantStore):
    """Opens calls, ends them, and hands out those in doubt.

    Args:
        lease_ms: how long a call is left to the process that makes it.
        give_up_ms: how long a call in doubt is asked for.
    """

    lease_ms: int = field(kw_only=True)
    give_up_ms: int = field(kw_only=True)

    async def reserve(self, call: GatewayCall) -> Reserved | Refused:
        """Open a call, if rates and budgets allow it.

        Raises:
            StoreUnavailable: it may or may not be open; the reconciler finds out.
        """
        record: dict[str, str | bytes | int] = {
            "agent": call.payer.agent_id,
            "body": orjson.dumps(call.body),
            "named": "1" if call.named else "",
        }
        reply = await self._open(
            call,
            call.call_id,
            self.lease_ms,
            self.give_up_ms + _DAY_SECONDS * 1000,
            call.estimate,
            call.kind,
            call.model,
            call.correlation_id,
            call.payer.user_id,
            call.payer.session_id,
            *(self.limit_defaults[name] for name in _LIMITS),
            *self.contents.seal_fields(call.tenant_id, "call", record),
        )
        match verdict := CallReserveVerdict(reply[0].decode()):
            case CallReserveVerdict.RATE:
                return Refused(False, reply[1], f"{reply[2].decode()} are used up.")
            case CallReserveVerdict.BUDGET:
                _, wait_ms, what, limit, left = reply
                says = f"The tokens of the {what.decode()} are used up: {left} of {limit} are left, "
                says += f"and the call may take {call.estimate}."
                return Refused(True, wait_ms, says)
            case _:
                return Reserved(
                    joined=verdict is CallReserveVerdict.JOINED, settled=verdict is CallReserveVerdict.SETTLED
                )

    async def settle(self, call: GatewayCall, spent: Spending) -> bool:
        """Count what a call has spent; returns whether it was counted now, and not before.

        Raises:
            StoreUnavailable: it may or may not have been counted; do it again.
        """
        counters = {
            "requests": 1,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "total_tokens": spent.total_tokens,
            "nano": spent.cost_nano,
        }
        return await self._end(call, CallEnding.SETTLED, spent.model, spent.total_tokens, counters)

    async def release(self, call: GatewayCall) -> bool:
        """End a call that has spent nothing; raises as `settle` does."""
        return await self._end(call, CallEnding.RELEASED)

    async def give_up(self, call: GatewayCall) -> bool:
        """End a call whose usage is unknown: its estimate is kept apart; raises as `settle` does."""
        return await self._end(call, CallEnding.GIVEN_UP)

    async def _end(
        self,
        call: GatewayCall,
        how: CallEnding,
        model: str = "",
        tokens: int = 0,
        counters: Mapping[str, int] | None = None,
    ) -> bool:
        ended = await self.run(
            _SETTLE,
            call.tenant_id,
            call.call_id,
            how,
            model,
            tokens,
            MARK_SECONDS if call.named else 0,
            KEPT_DAYS * _DAY_SECONDS,
            KEPT_DAYS_BY_USER * _DAY_SECONDS,
            *_flat({name: amount for name, amount in (counters or {}).items() if amount}),
            keys=self._keys(call),
        )
        return bool(ended)

    async def keep(self, tenant_id: str, call_ids: Iterable[str]) -> None:
        """Renew the leases of calls."""
        await self.run(_POSTPONE, tenant_id, self.lease_ms, *call_ids, keys=[self.keys.calls(tenant_id)])

    async def put_in_doubt(self, tenant_id: str, call_id: str, delay_ms: int) -> None:
        """Leave a call to the reconciler in `delay_ms`."""
        await self.run(_POSTPONE, tenant_id, delay_ms, call_id, keys=[self.keys.calls(tenant_id)])
        await self.mark(tenant_id, delay_ms)

    @on_shared_keys
    async def mark(self, tenant_id: str, delay_ms: int) -> None:
        """Have a tenant's calls looked after in `delay_ms`, or earlier."""
        await _MARK(self.redis, keys=[self.keys.doubts], args=[tenant_id, "", delay_ms])

    @on_shared_keys
    async def take_tenants(self, count: int, hold_ms: int) -> tuple[Sequence[str], int, int | None]:
        """Take the tenants whose calls have to be looked after; no other process gets them for `hold_ms`.

        Returns:
            The tenants; the moment that `drop` wants; and the ms until the next of the others is due, if any.
        """
        wait_ms, moment, *tenants = await _TENANTS(self.redis, keys=[self.keys.doubts], args=[count, hold_ms])
        names = self.redis.unreadable.read_all(self.keys.doubts, read_id, tenants)
        return names, moment, None if wait_ms < 0 else wait_ms

    async def take_in_doubt(self, tenant_id: str, count: int, hold_ms: int) -> tuple[list[InDoubtCall], int | None]:
        """Take a tenant's calls in doubt; no other process gets them for `hold_ms`.

        Returns:
            The calls; and the ms until the next one is due, None where no call is open.
        """
        keys = [self.keys.calls(tenant_id)]
        wait_ms, *taken = await self.run(_TAKE, tenant_id, count, hold_ms, keys=keys)
        doubted = [self._in_doubt(tenant_id, *one) for one in taken]
        return doubted, None if wait_ms < 0 else wait_ms

    @on_shared_keys
    async def drop(self, tenant_id: str, moment: int) -> None:
        """Look after a tenant no more that was taken, and has no open calls."""
        await _DROP(self.redis, keys=[self.keys.doubts], args=[tenant_id, moment])

    async def _open(self, call: GatewayCall, *args: object) -> Any:
        """Reserve, and have the tenant looked after when the lease of its call runs out.

        Both are sent at once, the mark last: a process that drops the tenant has seen the call, or sees the mark.
        """
        keys, tenant_id = self._keys(call), call.tenant_id
        first = [self.keys.lane(tenant_id, Lane.NORMAL), *keys]
        script = ("EVALSHA", _RESERVE.digest, len(first), *first, self.keys.tenant(tenant_id), self.log_length, *args)
        mark = ("EVAL", _MARK.source, 1, self.keys.doubts, tenant_id, "", self.lease_ms)
        reply, marked = await self.redis.gather([script, mark], raise_on_error=False)
        if isinstance(reply, ScriptMissing):
            reply = await self.run(_RESERVE, tenant_id, *args, keys=keys)
            await self.mark(tenant_id, self.lease_ms)
        for one in (reply, marked):
            if isinstance(one, Exception):
                raise one
        return reply

    def _in_doubt(self, tenant_id: str, call_id: bytes, age_ms: int, record: Any) -> InDoubtCall:
        fields = dict(zip(record[::2], record[1::2], strict=True)) if isinstance(record, list) else record
        return _in_doubt(tenant_id, call_id, age_ms, self.contents.open_record(tenant_id, "call", fields))

    def _keys(self, call: GatewayCall) -> list[str]:
        keys, tenant_id = self.keys, call.tenant_id
        return [
            keys.call(tenant_id, call.call_id),
            keys.calls(tenant_id),
            keys.settlement(tenant_id, call.call_id),
            keys.default_models(tenant_id),
        ]


def _flat(record: Mapping[str, Any]) -> list[Any]:
    return [part for pair in record.items() for part in pair]


def _in_doubt(tenant_id: str, call_id: bytes, age_ms: int, fields: Mapping[bytes, bytes]) -> InDoubtCall:
    with reading("call", call_id.decode(errors="replace")):
        text = {name.decode(): value.decode() for name, value in fields.items() if name != b"body"}
        call = GatewayCall(
            call_id=call_id.decode(),
            tenant_id=tenant_id,
            kind=UsageKind(text["kind"]),
            body=as_object(orjson.loads(fields[b"body"])),
            model=text["asked"],
            estimate=int(text["estimate"]),
            payer=Payer(text["agent"], text["user"], text["session"]),
            correlation_id=text["correlation"],
            named=bool(text["named"]),
        )
        return InDoubtCall(call, age_ms, int(text["looks"]))
