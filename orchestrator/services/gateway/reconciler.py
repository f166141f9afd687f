"""Reconciles gateway calls whose outcome is unknown (in doubt).

A process died, an answer was cut off, retries were used up, or a settlement could not be written: one of the processes
repeats the call under its idempotency key, and the service repeats its first answer. So the usage that the service has
counted and the ledger agree in the end.
"""

from contextlib import AbstractContextManager
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.clients.registry import Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.outcomes import is_refusal
from orchestrator.errors import CircuitOpen, OrchestratorError, StoreUnavailable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import TraceContext
from orchestrator.models.gateway.gateway import GatewayCall, InDoubtCall
from orchestrator.models.gateway.usage import UsageKind
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway_requests import STEPS, RequestReader
from orchestrator.services.gateway.gateway_stream import GatewayStream
from orchestrator.services.gateway.reservations import Reservations
from orchestrator.services.shared.tenant_isolation import isolate_tenant

ASK_SECONDS: Final = 60.0
"""Deadline of one repeated call."""
AT_ONCE: Final = 16
"""Calls that one process reconciles at once: calls with a waiting client go first."""
LONGEST_PAUSE_MS: Final = 300_000
_TENANTS_AT_ONCE: Final = 100
_log = structlog.get_logger("orchestrator.services.gateway.gateway")


@define(eq=False)
class Reconciler:
    """Takes calls in doubt, repeats them, and settles or releases them.

    Args:
        reservations: of this process, with the store.
        clients: of Query and Embedding.
        coordinator: guards the repeated calls.
        reader: reads the usage.
    """

    reservations: Reservations
    clients: Clients
    coordinator: ServiceCoordinator
    reader: RequestReader
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _running: int = field(default=0, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)

    def wake(self) -> None:
        """Start a round soon: there is a new call in doubt, or room for one."""
        self._changed.set()

    async def carry(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what `run` begins, until cancelled: it goes on although no more calls can be taken at present."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Reconcile, until cancelled, while `carry` runs; `started` after the first round.

        Raises:
            StoreUnavailable: no calls can be taken.
        """
        self.reservations.on_doubt, begun = self.wake, False
        while self._nursery is not None:
            self._changed = trio.Event()
            wait_ms = await self._round(self._nursery)
            if not begun:
                begun = True
                task_status.started()
            with trio.move_on_after(wait_ms / 1000):
                await self._changed.wait()
            # Calls that were put in doubt just now are due in a moment: several make one round.
            await trio.sleep(0.02)

    async def _round(self, nursery: trio.Nursery) -> int:
        """Take the calls that are due, as far as there is room; returns the ms until the next round."""
        store = self.reservations.store
        hold_ms = 2 * store.lease_ms
        if self._running >= AT_ONCE:
            return store.lease_ms
        tenants, moment, wait_ms = await store.take_tenants(_TENANTS_AT_ONCE, hold_ms)
        for tenant_id in tenants:
            room = AT_ONCE - self._running
            if room <= 0:
                await store.mark(tenant_id, 0)
                continue
            # A tenant whose keys are damaged is looked at again after `hold_ms`.
            with isolate_tenant(tenant_id):
                taken, following = await store.take_in_doubt(tenant_id, room, hold_ms)
                for one in taken:
                    self._running += 1
                    nursery.start_soon(self._reconcile, one, self.reservations.holding(one.call))
                if following is None:
                    await store.drop(tenant_id, moment)
                else:
                    await store.mark(tenant_id, following)
                    wait_ms = following if wait_ms is None else min(wait_ms, following)
        # Calls of other processes are due after a lease at the soonest.
        return store.lease_ms if wait_ms is None else min(wait_ms, store.lease_ms)

    async def _reconcile(self, in_doubt: InDoubtCall, holding: AbstractContextManager[None]) -> None:
        try:
            with holding, isolate_tenant(in_doubt.call.tenant_id):
                await self._repeat(in_doubt)
        except StoreUnavailable as error:
            # The lease of the call runs out, and the call is taken again.
            _log.warning("gateway.doubt_not_settled", call_id=in_doubt.call.call_id, error=error.reason)
        finally:
            self._running -= 1
            self.wake()

    async def _repeat(self, in_doubt: InDoubtCall) -> None:
        call, store = in_doubt.call, self.reservations.store
        if in_doubt.age_ms > store.give_up_ms:
            await store.give_up(call)
            self.reservations.metrics.gateway_given_up(call.tenant_id, call.estimate)
            _log.error("gateway.given_up", tenant_id=call.tenant_id, call_id=call.call_id, estimate=call.estimate)
            return
        try:
            spent = self.reader.spent(call, await self._answer(call))
        except OrchestratorError as error:
            if is_refusal(error):
                # The service repeats its first answer: it has never done what it refuses.
                await self.reservations.release(call)
                return
            pause_ms = min(LONGEST_PAUSE_MS, 250 * 2 ** min(in_doubt.looks, 12))
            if isinstance(error, CircuitOpen):
                # The service was not asked, so there is no reason to wait for longer than its breaker is open.
                pause_ms = min(pause_ms, error.retry_after_ms or pause_ms)
            _log.warning("gateway.doubt_remains", call_id=call.call_id, error=error.message, again_in_ms=pause_ms)
            await self.reservations.put_in_doubt(call, pause_ms)
            return
        await self.reservations.settle(call, spent)

    async def _answer(self, call: GatewayCall) -> ServiceAnswer:
        context = CallContext(
            call.tenant_id,
            call.correlation_id,
            new_id(),
            TraceContext.new(),
            trio.current_time() + ASK_SECONDS,
            call.call_id,
        )
        async with self.coordinator.attempt(STEPS[call.kind], context) as attempt:
            return await self._ask(call, context.until(attempt.deadline))

    async def _ask(self, call: GatewayCall, context: CallContext) -> ServiceAnswer:
        if call.kind is UsageKind.EMBED:
            return await self.clients.embedding.embed(context, call.body)
        if call.kind is UsageKind.SEARCH:
            return await self.clients.query.search(context, call.body)
        if not call.streams:
            return await self.clients.query.query(context, call.body)
        async with self.clients.query.query_stream(context, call.body) as pieces:
            stream = GatewayStream(pieces)
            while await stream.receive() is not None:
                pass
            assert stream.usage is not None  # noqa: S101 - a stream without usage ends with an error
            return stream.usage
