"""Administration of tenants and their queues: list, configure, pause, drain, resume."""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from attrs import asdict, evolve, frozen

from orchestrator.config.tenant_limits import SpendingLimits, limits_of
from orchestrator.domain.webhook_signatures import new_secret
from orchestrator.errors import NotFound, TenantDamaged, TransitionRefused, Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.unset import UNSET
from orchestrator.models.operations.tenant import (
    CallbackSecret,
    DrainMode,
    DrainRequest,
    Queue,
    Tenant,
    TenantSettings,
    TenantState,
)
from orchestrator.services.operations.system_events import SystemEvents
from orchestrator.services.shared.cursors import read_cursor, write_cursor
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.quotas import QuotaStore
from orchestrator.store.operations.tenants import TenantStates, TenantStateVerdict
from orchestrator.store.scheduling.ready import ReadyTenants

T = TypeVar("T")


@frozen
class TenantService:
    """Shows tenants and changes them; every change is audited, and told to operators by a notice."""

    store: TenantStates
    ready: ReadyTenants
    audit: AuditTrail
    kinds: TaskKinds
    quotas: QuotaStore
    notices: SystemEvents | None = None

    async def get(self, tenant_id: str) -> Tenant:
        """Show a tenant; one that drains is noticed here to be drained.

        Raises:
            NotFound: it never had a session.
        """
        await self.must_be_known(tenant_id)
        return await self._current(tenant_id)

    async def list(self, *, state: TenantState | None = None, cursor: str | None, limit: int) -> Page[Tenant]:
        """List tenants by name, all or those in one state.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        return await self._page(self._current, cursor, limit, lambda tenant: state in {None, tenant.state})

    async def queue(self, tenant_id: str) -> Queue:
        """Show a tenant's queue.

        Raises:
            NotFound: it never had a session.
        """
        await self.must_be_known(tenant_id)
        return await self.store.queue(tenant_id)

    async def queues(self, *, cursor: str | None, limit: int) -> Page[Queue]:
        """List the queues of tenants, by name.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        return await self._page(self.store.queue, cursor, limit)

    async def change(
        self, ctx: RequestContext, tenant_id: str, new: TenantState, drain: DrainRequest | None = None
    ) -> Tenant:
        """Change a tenant's state; doing it twice is fine.

        Raises:
            NotFound: it never had a session.
            TransitionRefused: it drains, and shall be paused.
            Unprocessable: all is to be put aside at once, and after a deadline, too.
        """
        await self.must_be_known(tenant_id)
        drain = drain or DrainRequest()
        deadline = drain.deadline_seconds
        if drain.mode is DrainMode.DISCARD and deadline is not None:
            says = "does not go with the mode 'discard', which puts everything aside at once"
            raise Unprocessable(f"A deadline {says}.", details=[FieldFault("$.deadline_seconds", says)])
        deadline_ms = None if deadline is None else round(deadline * 1000)
        verdict, previous = await self.store.change_state(tenant_id, new, drain=drain.mode, deadline_ms=deadline_ms)
        if verdict is TenantStateVerdict.REFUSED:
            raise TransitionRefused(f"Tenant {tenant_id} is drained, or about to be: resume it before it is paused.")
        if new is not TenantState.PAUSED:
            await self._advance(tenant_id)
        if new is TenantState.ACTIVE:
            await self.ready.mark(tenant_id)
        how = f", {drain.mode}" if new is TenantState.DRAINING else ""
        await self.audit.done(ctx, f"tenant.{new}", f"was {previous}{how}", tenant_id=tenant_id)
        self._tell(f"tenant.{new}", tenant_id)
        return await self._current(tenant_id)

    async def configure(self, ctx: RequestContext, tenant_id: str, settings: TenantSettings) -> Tenant:
        """Change what is a tenant's own; takes effect with the next admission and claim.

        Raises:
            NotFound: it never had a session.
        """
        await self.must_be_known(tenant_id)
        changes = {name: value for name, value in asdict(settings).items() if value is not UNSET}
        changes |= _model_limits(changes.pop("models"))
        fair_users = changes.pop("fair_users")
        if fair_users is not None:
            changes["fair_users"] = int(fair_users)
        if changes:
            await self.store.configure(tenant_id, changes)
            # What was held back by a limit may go now.
            await self.ready.mark(tenant_id)
        said = ", ".join(f"{name}={value}" for name, value in changes.items())
        await self.audit.done(ctx, "tenant.configure", said or "nothing changed", tenant_id=tenant_id)
        self._tell("tenant.configured", tenant_id)
        return await self._current(tenant_id)

    async def callback_secret(self, ctx: RequestContext, tenant_id: str, *, rotate: bool = False) -> CallbackSecret:
        """Show what signs a tenant's callbacks, or replace it; both sign for a day then.

        Raises:
            NotFound: it never had a session.
        """
        await self.must_be_known(tenant_id)
        secret, *_ = await self.store.callback_secrets(tenant_id, new_secret(), rotate=rotate)
        await self.audit.done(ctx, "tenant.callback_secret", "replaced" if rotate else "shown", tenant_id=tenant_id)
        return CallbackSecret(tenant_id, secret)

    async def must_be_known(self, tenant_id: str) -> None:
        """Make sure that there is such a tenant.

        Raises:
            NotFound: it never had a session.
        """
        if not await self.store.known(tenant_id):
            raise NotFound(f"There is no tenant {tenant_id}.")

    async def _current(self, tenant_id: str) -> Tenant:
        """Return a tenant; one that drains is taken on first, as far as it goes at the moment."""
        tenant = await self.store.show(tenant_id)
        try:
            if tenant.state is TenantState.DRAINING and await self._advance(tenant_id) is not tenant.state:
                tenant = await self.store.show(tenant_id)
            return evolve(tenant, quotas=await self.quotas.read(tenant_id))
        except TenantDamaged as damage:
            # An operator has to see it among the others to mend it.
            return evolve(tenant, damage=tenant.damage or damage.reason)

    async def _advance(self, tenant_id: str) -> TenantState:
        return await self.store.advance(tenant_id, self.kinds.passed_over_by_drains)

    async def _page(
        self,
        load: Callable[[str], Awaitable[T]],
        cursor: str | None,
        limit: int,
        keep: Callable[[T], bool] = lambda _: True,
    ) -> Page[T]:
        names = await self.store.names()
        place = read_cursor(cursor)
        start = 0 if place is None else bisect_right(names, place[1])
        found: dict[str, T] = {}

        async def fetch(name: str) -> None:
            found[name] = await load(name)

        kept: list[tuple[str, T]] = []
        while start < len(names) and len(kept) <= limit:
            part = names[start : start + limit + 1]
            async with open_joined_nursery() as nursery:
                for name in part:
                    nursery.start_soon(fetch, name)
            kept += [(name, found[name]) for name in part if keep(found[name])]
            start += len(part)
        items = [one for _, one in kept[:limit]]
        return Page(items, write_cursor((0, kept[limit - 1][0])) if len(kept) > limit else None)

    def _tell(self, name: str, tenant_id: str) -> None:
        if self.notices is not None:
            self.notices.tell(name, tenant_id=tenant_id)


def _model_limits(models: Mapping[str, Mapping[str, Any] | None] | None) -> dict[str, Any]:
    """Return what is configured of single models: each limit of each, None where it has none."""
    return {
        f"model:{row.name}:{model}": None if limits is None else limits[row.name]
        for model, limits in (models or {}).items()
        for row in limits_of(SpendingLimits)
    }
