"""Reservations of the gateway's calls in this process: opened, held by a lease, settled, released, or put in doubt."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import structlog
import trio
from attrs import define, field

from orchestrator.clients.transport.outcomes import may_have_run
from orchestrator.errors import BudgetExhausted, OrchestratorError, RateLimited, StoreUnavailable
from orchestrator.models.common.call import CallContext
from orchestrator.models.gateway.gateway import GatewayCall
from orchestrator.models.gateway.usage import Spending
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.gateway.gateway_calls import GatewayCalls, Refused, Reserved
from orchestrator.telemetry.metrics import Metrics

T = TypeVar("T")

SETTLE_SECONDS: Final = 5.0
"""Time for which a settlement is retried while Redis is away; then the call is left to the reconciler, in seconds."""
RESERVE_SECONDS: Final = 6.0
FIRST_LOOK_MS: Final = 250
"""Delay of the first reconciliation of a call in doubt."""
_PAUSE: Final = 0.2
_log = structlog.get_logger("orchestrator.services.gateway.gateway")


@define(eq=False)
class Reservation:
    """An open call."""

    call: GatewayCall
    reservations: "Reservations"
    joined: bool = False
    """Whether another call with the same id was open."""
    settled: bool = False
    """Whether the usage is counted."""
    in_doubt: bool = False
    """Whether the service may have done the work although there is no answer."""

    async def attempt(self, ask: Callable[[CallContext], Awaitable[T]], context: CallContext) -> T:
        """Call the service once, and note whether it may have done the work."""
        before, self.in_doubt = self.in_doubt, True
        try:
            return await ask(context)
        except OrchestratorError as error:
            self.in_doubt = before or may_have_run(error)
            raise

    async def settle(self, spent: Spending) -> None:
        """Settle the usage of the call."""
        if not self.settled:
            self.settled = await self.reservations.settle(self.call, spent)


@define(eq=False)
class Reservations:
    """Opens calls, renews their leases, and ends them.

    Args:
        store: of open calls and usage.
        metrics: counts them.
    """

    store: GatewayCalls
    metrics: Metrics
    on_doubt: Callable[[], None] = field(default=lambda: None, init=False)
    """Called for each call that is put in doubt."""
    _held: dict[str, Counter[str]] = field(factory=dict, init=False)
    """Holders of each call's lease, by tenant and call."""

    @asynccontextmanager
    async def open(self, call: GatewayCall) -> AsyncIterator[Reservation]:
        """Reserve budget for a call; at the end of the block the call is settled, released, or in doubt.

        Raises:
            BudgetExhausted, RateLimited: the tenant has no budget or rate left for it.
            StoreUnavailable: Redis is away.
        """
        with self.holding(call):
            reserved = await self._reserve(call)
            held = Reservation(call, self, joined=reserved.joined, settled=reserved.settled)
            try:
                yield held
            finally:
                if not held.settled:
                    await self._leave(held)

    @contextmanager
    def holding(self, call: GatewayCall) -> Iterator[None]:
        """Hold the lease of a call while the block runs; several holders of one call are allowed."""
        holders = self._held.setdefault(call.tenant_id, Counter())
        holders[call.call_id] += 1
        try:
            yield
        finally:
            holders[call.call_id] -= 1
            if not holders[call.call_id]:
                del holders[call.call_id]
            if not holders:
                del self._held[call.tenant_id]

    async def keep_leases(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew the leases that are held, until cancelled; `started` after the first time.

        Raises:
            StoreUnavailable: they are not renewed.
        """
        begun = False
        while True:
            for tenant_id, calls in list(self._held.items()):
                with isolate_tenant(tenant_id):
                    await self.store.keep(tenant_id, list(calls))
            if not begun:
                begun = True
                task_status.started()
            await trio.sleep(self.store.lease_ms / 3000)

    async def settle(self, call: GatewayCall, spent: Spending) -> bool:
        """Settle the usage of a call; returns whether it is settled, by this process or another one."""
        settled = await self._persist(lambda: self.store.settle(call, spent))
        if settled is None:
            _log.error("gateway.not_settled", tenant_id=call.tenant_id, call_id=call.call_id, spent=spent)
            return False
        if settled:
            prompt, completion = spent.prompt_tokens, spent.completion_tokens
            self.metrics.tokens(call.tenant_id, call.payer.agent_id, prompt=prompt, completion=completion)
        return True

    async def release(self, call: GatewayCall) -> None:
        """Release the reservation of a call that has no usage."""
        await self._persist(lambda: self.store.release(call))

    async def put_in_doubt(self, call: GatewayCall, delay_ms: int = FIRST_LOOK_MS) -> None:
        """Leave a call to the reconciler of any process, after a delay."""
        await self._persist(lambda: self.store.put_in_doubt(call.tenant_id, call.call_id, delay_ms))
        self.on_doubt()

    async def _reserve(self, call: GatewayCall) -> Reserved:
        # Cancelled half-way, the reservation would last until its lease runs out.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RESERVE_SECONDS):
            reserved = await self.store.reserve(call)
            if isinstance(reserved, Refused):
                kind = BudgetExhausted if reserved.by_budget else RateLimited
                raise kind(reserved.says, retry_after_ms=reserved.wait_ms)
            return reserved
        raise StoreUnavailable("Redis does not answer in time.")

    async def _leave(self, held: Reservation) -> None:
        """End a call that was not settled: its usage is nothing, or unknown."""
        # A joined call with the same id may have usage where this one has none.
        if held.in_doubt or held.joined:
            self.metrics.gateway_in_doubt()
            await self.put_in_doubt(held.call)
        else:
            await self.release(held.call)

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """Retry a write while Redis is away; None: it stayed away.

        A write that fails is not lost: the lease of the call runs out, and the reconciler finds its usage out.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_SECONDS):
            while True:
                try:
                    return await write()
                except StoreUnavailable:
                    await trio.sleep(_PAUSE)
        return None
