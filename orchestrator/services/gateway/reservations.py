"""The gateway's calls of this process: reserved before, counted after, and left to others where that fails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
"""How long a call waits for a store that is away until its settlement is left to whoever takes its lease."""
RESERVE_SECONDS: Final = 6.0
FIRST_LOOK_MS: Final = 250
"""When a call is asked for again whose outcome is not known."""
_PAUSE: Final = 0.2
_log = structlog.get_logger("orchestrator.services.gateway.gateway")


@define(eq=False)
class Reservation:
    """A call in hand."""

    call: GatewayCall
    calls: "Reservations"
    joined: bool = False
    counted: bool = False
    """Whether nothing is left to be counted."""
    doubtful: bool = False
    """Whether the service may have done it although no answer is there."""

    async def attempt(self, ask: Callable[[CallContext], Awaitable[T]], context: CallContext) -> T:
        """Ask the service once, and remember whether it may have done the work."""
        before, self.doubtful = self.doubtful, True
        try:
            return await ask(context)
        except OrchestratorError as error:
            self.doubtful = before or may_have_run(error)
            raise

    async def settle(self, spent: Spending) -> None:
        """Count what the call has spent."""
        if not self.counted:
            self.counted = await self.calls.settle(self.call, spent)


@define(eq=False)
class Reservations:
    """Opens calls, keeps their leases, and ends them.

    Args:
        store: where they are.
        metrics: where they are counted.
    """

    store: GatewayCalls
    metrics: Metrics
    doubted: Callable[[], None] = field(default=lambda: None, init=False)
    """Told of every call that is in doubt."""
    _running_tasks: dict[str, dict[str, int]] = field(factory=dict, init=False)

    @asynccontextmanager
    async def open(self, call: GatewayCall) -> AsyncIterator[Reservation]:
        """Reserve what a call may spend, and see to it that what it has spent is counted, whatever happens inside.

        Raises:
            BudgetExhausted, RateLimited: the tenant may not spend so much now.
            StoreUnavailable: nobody can tell.
        """
        with self.holding(call):
            reserved = await self._reserve(call)
            held = Reservation(call, self, joined=reserved.joined, counted=reserved.settled)
            try:
                yield held
            finally:
                if not held.counted:
                    await self._leave(held)

    def holding(self, call: GatewayCall) -> "_Holding":
        """Keep the lease of a call while the block runs."""
        return _Holding(self._running_tasks, call)

    async def keep_leases(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew the leases of the calls in hand, for ever; `started` after the first time.

        Raises:
            StoreUnavailable: they are not renewed.
        """
        begun = False
        while True:
            for tenant_id, calls in list(self._running_tasks.items()):
                with isolate_tenant(tenant_id):
                    await self.store.keep(tenant_id, list(calls))
            if not begun:
                begun = True
                task_status.started()
            await trio.sleep(self.store.lease_ms / 3000)

    async def settle(self, call: GatewayCall, spent: Spending) -> bool:
        """Count what a call has spent; returns whether that is done, by whomever."""
        counted = await self._insist(lambda: self.store.settle(call, spent))
        if counted is None:
            _log.error("gateway.not_settled", tenant_id=call.tenant_id, call_id=call.call_id, spent=spent)
            return False
        if counted:
            self.metrics.tokens(call.tenant_id, prompt=spent.prompt_tokens, completion=spent.completion_tokens)
        return True

    async def release(self, call: GatewayCall) -> None:
        """Give back what was reserved for a call that has spent nothing."""
        await self._insist(lambda: self.store.release(call))

    async def doubt(self, call: GatewayCall, delay_ms: int = FIRST_LOOK_MS) -> None:
        """Have a call asked for again, by whichever process."""
        await self._insist(lambda: self.store.doubt(call.tenant_id, call.call_id, delay_ms))
        self.doubted()

    async def _reserve(self, call: GatewayCall) -> Reserved:
        # Cancelled half-way, nobody would know of the reservation before its lease runs out.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RESERVE_SECONDS):
            reserved = await self.store.reserve(call)
            if isinstance(reserved, Refused):
                kind = BudgetExhausted if reserved.by_budget else RateLimited
                raise kind(reserved.says, retry_after_ms=reserved.wait_ms)
            return reserved
        raise StoreUnavailable("Redis does not answer in time.")

    async def _leave(self, held: Reservation) -> None:
        """End a call that was not counted: it has spent nothing, or nobody knows."""
        # Another one with the same name may have spent what this one has not.
        if held.doubtful or held.joined:
            self.metrics.gateway_doubt()
            await self.doubt(held.call)
        else:
            await self.release(held.call)

    async def _insist(self, do: Callable[[], Awaitable[T]]) -> T | None:
        """Do something in the store, again while that is away; None: it stayed away.

        What is not written then is not lost: the lease of the call runs out, and whoever takes it finds out again.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_SECONDS):
            while True:
                try:
                    return await do()
                except StoreUnavailable:
                    await trio.sleep(_PAUSE)
        return None


class _Holding:
    """A call is in hand, as often as it is entered."""

    def __init__(self, running_tasks: dict[str, dict[str, int]], call: GatewayCall) -> None:
        self._running_tasks = running_tasks
        self._call = call

    def __enter__(self) -> None:
        calls = self._running_tasks.setdefault(self._call.tenant_id, {})
        calls[self._call.call_id] = calls.get(self._call.call_id, 0) + 1

    def __exit__(self, *_: object) -> None:
        calls = self._running_tasks[self._call.tenant_id]
        calls[self._call.call_id] -= 1
        if not calls[self._call.call_id]:
            del calls[self._call.call_id]
        if not calls:
            del self._running_tasks[self._call.tenant_id]
