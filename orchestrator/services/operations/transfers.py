"""A tenant's queued work leaves for another place, and arrives there."""

from typing import Final

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.transfers import check_item
from orchestrator.errors import InvalidBody, OrchestratorError, QueueFull, TenantDraining
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.operations.transfer import Imported, TransferItem
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.operations.enqueue import new_entry_of
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.shared.cursors import foreign_cursor, read_cursor, read_number, write_cursor
from orchestrator.services.shared.views import quota_reached, tenant_refuses
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.transfers import PHASES, Position, SessionImport, TransferStore
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.tasks.enqueue import Enqueued, EnqueueStore

_KEPT: Final = frozenset({"checkpoint", "order", "wait", "delegated", "token"})
_FIELDS: Final = frozenset(
    {"attempt", "created_at", "started_at", "waiting_for", "parks", "calls", "replay_of", "failures", "delegations",
     "undo_task", "undo_message", "undo_priority",
     "undo_type"}
)  # fmt: skip


@frozen
class TransferService:
    """Exports and imports queued work."""

    store: TransferStore
    placement: EnqueueStore
    tenants: TenantService
    ready: ReadyTenants
    due: DueTenants
    audit: AuditTrail
    settings: AgentOrchestratorSettings
    kinds: TaskKinds

    async def export(self, tenant_id: str, *, cursor: str | None, limit: int) -> Page[TransferItem]:
        """Show queued work, in the order in which it is to be imported; nothing of it changes.

        A page may have no item although others follow it.

        Raises:
            NotFound: there is no such tenant.
            InvalidParameter: the cursor is none of this list.
        """
        await self.tenants.must_be_known(tenant_id)
        phase, position = _read(cursor)
        items, following = await self.store.chunk(tenant_id, phase, position, limit)
        return Page(items, None if following is None else _written(*following))

    async def take_in(
        self, ctx: RequestContext, tenant_id: str, items: list[TransferItem], *, check_only: bool = False
    ) -> Imported:
        """Take work in: all is checked first, or that alone is done; tasks and sessions that are there are skipped.

        Raises:
            InvalidBody: an item is damaged, or another tenant's; nothing has changed then.
            TenantDraining: the tenant takes nothing in.
            QueueFull: a quota of the tenant is reached; the items before the one that goes beyond it are taken in, and
                skipped when all are sent again.
        """
        messages = [self._checked(index, item, tenant_id) for index, item in enumerate(items)]
        if check_only:
            return Imported(0, 0, 0)
        state = await self.store.welcome(tenant_id)
        if state in {TenantState.DRAINING, TenantState.DRAINED}:
            raise tenant_refuses(state)
        imported = skipped = sessions = 0
        refused: OrchestratorError | None = None
        try:
            for item, message in zip(items, messages, strict=True):
                if message is None:
                    sessions += await self._session(tenant_id, item)
                elif await self._place(item, message):
                    imported += 1
                else:
                    skipped += 1
        except (QueueFull, TenantDraining, InvalidBody) as error:
            # What was taken in before goes its way, and is told of as all of it would be.
            refused = error
        if imported:
            await self.ready.mark(tenant_id)
        if refused is None or imported or sessions:
            told = f"{imported} tasks, {skipped} were there; {sessions} sessions"
            await self.audit.done(ctx, "tenant.import", told, tenant_id=tenant_id)
        if refused is not None:
            raise refused
        return Imported(imported, skipped, sessions)

    def _checked(self, index: int, item: TransferItem, tenant_id: str) -> TaskMessage | None:
        try:
            return check_item(item, tenant_id)
        except OrchestratorError as error:
            faults = [FieldFault(f"$.data.items[{index}]{one.path[1:]}", one.message) for one in error.details]
            raise InvalidBody(f"Item {index}: {error.message}", details=faults) from None

    async def _session(self, tenant_id: str, item: TransferItem) -> bool:
        retain_seconds = int(self.settings.retain_sessions)
        verdict, quota = await self.store.import_session(tenant_id, item, retain_seconds=retain_seconds)
        if verdict is SessionImport.FULL:
            raise quota_reached(quota)
        return verdict is SessionImport.OK

    async def _place(self, item: TransferItem, message: TaskMessage) -> bool:
        kept = {
            name: value for name, value in item.fields.items() if name in _FIELDS or name.partition(":")[0] in _KEPT
        }
        record = {**kept, "lane": item.fields["lane"]}
        if item.due_ms is not None:
            record["status"] = item.fields.get("status", "pending")
        placed, detail = await self.placement.place(
            new_entry_of(message, self.kinds.named(str(message.type)), record, due_ms=item.due_ms),
            retain_seconds=int(self.settings.retain_tasks),
            within_quotas=True,
        )
        if placed is Enqueued.FULL:
            raise quota_reached(str(detail))
        if placed is Enqueued.TENANT:
            raise tenant_refuses(str(detail))
        if placed in {Enqueued.UNKNOWN, Enqueued.CLOSED}:
            raise InvalidBody(f"The session {message.session_id} of task {message.task_id} is not there, or closed.")
        if item.due_ms is not None:
            await self.due.mark(message.tenant_id, item.due_ms)
        return placed is Enqueued.OK


def _read(cursor: str | None) -> tuple[int, Position | None]:
    """Return the phase and the position that a cursor names."""
    phase, written = read_cursor(cursor) or (0, "")
    if phase >= PHASES:
        raise foreign_cursor()
    if not written:
        return phase, None
    first, _, second = written.partition("-")
    return phase, (read_number(first), read_number(second))


def _written(phase: int, position: Position | None) -> str:
    return write_cursor((phase, "" if position is None else f"{position[0]}-{position[1]}"))
