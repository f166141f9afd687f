"""What operators work with, over a stage."""

from typing import Any

from attrs import frozen

from orchestrator.codec import structure
from orchestrator.models.common.principal import RequestContext, Role
from orchestrator.models.operations.tenant import TenantSettings
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.services.operations.dead_letters import DeadLetterService
from orchestrator.services.operations.replays import ReplayService
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.operations.transfers import TransferService
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.services.shared.rate_limiter import rates_of
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.dead_letters import DeadLetterStore
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.operations.transfers import TransferStore
from orchestrator.store.sessions.idempotency import IdempotencyStore
from orchestrator.store.sessions.limits import LimitStore
from orchestrator.store.tasks.enqueue import EnqueueStore
from tests.queue.stage import Stage, context


@frozen
class Desk:
    """An operator's services."""

    tenants: TenantService
    replays: ReplayService
    letters: DeadLetterService
    transfers: TransferService


def open_desk(stage: Stage) -> Desk:
    """Build them beside a stage."""
    settings = stage.queue.settings
    stores = (stage.redis, stage.keys, settings.event_log_length, LimitDefaults.of(settings))
    audit, ready = AuditTrail(stage.redis, stage.keys), stage.queue.ready
    tenants = TenantService(TenantStates(*stores), ready, audit, KNOWN_KINDS, stage.stores.quotas)
    letters, placement = DeadLetterStore(*stores), EnqueueStore(*stores)
    repeats = Idempotency(IdempotencyStore(*stores))
    replays = ReplayService(
        letters, placement, LimitStore(*stores), ready, audit, settings, rates_of(settings), KNOWN_KINDS, repeats
    )
    return Desk(
        tenants,
        replays,
        DeadLetterService(letters, replays, tenants, audit, repeats),
        TransferService(
            TransferStore(*stores), placement, tenants, ready, stage.queue.due, audit, settings, KNOWN_KINDS
        ),
    )


def operator() -> RequestContext:
    """A request of an operator of the tenant."""
    return context(user="op", role=Role.OPERATOR)


def own(**settings: Any) -> TenantSettings:
    """The body of a `tenant.configure` that sets these."""
    return structure(settings, TenantSettings)
