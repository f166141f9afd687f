"""All that is kept in Redis: every store of a process, over one connection."""

from typing import Self

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.store.admission import AdmissionStore
from orchestrator.store.answer_cache import AnswerCache
from orchestrator.store.audit import AuditTrail
from orchestrator.store.batches import BatchStore
from orchestrator.store.connection import Redis
from orchestrator.store.dead_letters import DeadLetterStore
from orchestrator.store.due import DueTenants
from orchestrator.store.events import EventLog, TaskLog
from orchestrator.store.gateway_calls import GatewayCalls, Limits
from orchestrator.store.generic_tasks import GenericTaskStore, KnownTenants
from orchestrator.store.idempotency import IdempotencyStore
from orchestrator.store.keys import Keys
from orchestrator.store.limits import LimitStore
from orchestrator.store.nodes import Nodes
from orchestrator.store.notices import NoticeStore
from orchestrator.store.notifications import NotificationStore
from orchestrator.store.placement import PlacementStore
from orchestrator.store.ready import ReadyTenants
from orchestrator.store.revocations import RevocationStore
from orchestrator.store.schedules import ScheduleStore
from orchestrator.store.sessions import SessionStore
from orchestrator.store.tasks import TaskStore
from orchestrator.store.tenants import TenantStates
from orchestrator.store.timelines import TimelineStore
from orchestrator.store.transfers import TransferStore
from orchestrator.store.usage import UsageLedger
from orchestrator.store.workflows import WorkflowStore


@frozen
class Stores:
    """The stores of a process."""

    redis: Redis
    keys: Keys
    admission: AdmissionStore
    answers: AnswerCache
    audit: AuditTrail
    batches: BatchStore
    dead_letters: DeadLetterStore
    due: DueTenants
    events: EventLog
    gateway_calls: GatewayCalls
    generic_tasks: GenericTaskStore
    idempotency: IdempotencyStore
    known_tenants: KnownTenants
    ledger: UsageLedger
    limits: LimitStore
    nodes: Nodes
    notices: NoticeStore
    notifications: NotificationStore
    placement: PlacementStore
    ready: ReadyTenants
    revocations: RevocationStore
    schedules: ScheduleStore
    sessions: SessionStore
    task_events: TaskLog
    tasks: TaskStore
    tenants: TenantStates
    timelines: TimelineStore
    transfers: TransferStore
    workflows: WorkflowStore

    @classmethod
    def over(cls, redis: Redis, settings: AgentOrchestratorSettings) -> Self:
        """Make all stores over one connection."""
        keys, gateway = Keys(), settings.gateway
        base = (redis, keys, settings.event_log_length)
        return cls(
            redis,
            keys,
            admission=AdmissionStore(*base),
            answers=AnswerCache(*base, gateway.cache_bytes),
            audit=AuditTrail(redis, keys),
            batches=BatchStore(*base),
            dead_letters=DeadLetterStore(*base),
            due=DueTenants(redis, keys),
            events=EventLog(redis, keys),
            gateway_calls=GatewayCalls(
                *base,
                Limits(gateway.tier, settings.tiers),
                lease_ms=round(settings.lease * 1000),
                give_up_ms=round(gateway.give_up_after * 1000),
            ),
            generic_tasks=GenericTaskStore(*base),
            idempotency=IdempotencyStore(*base),
            known_tenants=KnownTenants(redis, keys),
            ledger=UsageLedger(*base),
            limits=LimitStore(*base),
            nodes=Nodes(redis, keys),
            notices=NoticeStore(redis, keys),
            notifications=NotificationStore(*base),
            placement=PlacementStore(*base),
            ready=ReadyTenants(redis, keys),
            revocations=RevocationStore(redis, keys, settings.jwt.max_lifetime),
            schedules=ScheduleStore(*base),
            sessions=SessionStore(*base),
            task_events=TaskLog(redis, keys),
            tasks=TaskStore(*base),
            tenants=TenantStates(*base),
            timelines=TimelineStore(*base),
            transfers=TransferStore(*base),
            workflows=WorkflowStore(*base),
        )
