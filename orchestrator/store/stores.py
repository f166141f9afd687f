"""All that is kept in Redis: every store of a process, over one connection."""

from typing import Self

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.store.consistency.consistency import ConsistencyStore
from orchestrator.store.contents import Contents
from orchestrator.store.credentials.api_keys import ApiKeyStore
from orchestrator.store.downstream.catalog_changes import CatalogChanges
from orchestrator.store.events.events import BatchLog, EventLog, TaskLog
from orchestrator.store.events.feed import FeedLog
from orchestrator.store.events.notifications import NotificationLog, NotificationStore
from orchestrator.store.gateway.answer_cache import AnswerCache
from orchestrator.store.gateway.gateway_calls import GatewayCalls
from orchestrator.store.gateway.reservation_checks import ReservationChecks
from orchestrator.store.gateway.usage import UsageLedger
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.memory_walk import MemoryWalk
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.audit_reader import AuditReader
from orchestrator.store.operations.dead_letters import DeadLetterStore
from orchestrator.store.operations.nodes import Nodes
from orchestrator.store.operations.quotas import QuotaStore
from orchestrator.store.operations.revocations import RevocationStore
from orchestrator.store.operations.system_events import SystemEventStore
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.operations.transfers import TransferStore
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.plans.ownership import OwnershipStore
from orchestrator.store.plans.workflows import WorkflowStore
from orchestrator.store.redis.connection import Redis
from orchestrator.store.scheduling.batches import BatchStore
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.intake import IntakeStore
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.scheduling.schedules import ScheduleStore
from orchestrator.store.scheduling.tenant_survey import TenantSurveys
from orchestrator.store.sessions.address_limits import AddressLimitStore
from orchestrator.store.sessions.idempotency import IdempotencyStore
from orchestrator.store.sessions.limits import LimitStore
from orchestrator.store.sessions.session_traces import SessionTraces
from orchestrator.store.sessions.sessions import SessionStore
from orchestrator.store.tasks.admission import AdmissionStore
from orchestrator.store.tasks.callback_log import CallbackLog
from orchestrator.store.tasks.enqueue import EnqueueStore
from orchestrator.store.tasks.packing import PackingStore
from orchestrator.store.tasks.plain_tasks import KnownTenants, PlainTaskStore
from orchestrator.store.tasks.result_queues import ResultQueues
from orchestrator.store.tasks.tasks import TaskStore
from orchestrator.store.tasks.timelines import TimelineStore
from orchestrator.store.tasks.worker_signals import WorkerSignals


@frozen
class Stores:
    """The stores of a process."""

    redis: Redis
    keys: Keys
    address_limits: AddressLimitStore
    admission: AdmissionStore
    answers: AnswerCache
    api_keys: ApiKeyStore
    audit: AuditTrail
    audit_reader: AuditReader
    batch_events: BatchLog
    batches: BatchStore
    callbacks: CallbackLog
    catalog_changes: CatalogChanges
    consistency: ConsistencyStore
    dead_letters: DeadLetterStore
    delegations: DelegationStore
    due: DueTenants
    enqueue: EnqueueStore
    events: EventLog
    feed: FeedLog
    gateway_calls: GatewayCalls
    ownership: OwnershipStore
    packing: PackingStore
    plain_tasks: PlainTaskStore
    idempotency: IdempotencyStore
    intake: IntakeStore
    known_tenants: KnownTenants
    ledger: UsageLedger
    limits: LimitStore
    memory_walk: MemoryWalk
    nodes: Nodes
    notices: SystemEventStore
    notification_events: NotificationLog
    notifications: NotificationStore
    quotas: QuotaStore
    ready: ReadyTenants
    reservation_checks: ReservationChecks
    result_queues: ResultQueues
    revocations: RevocationStore
    schedules: ScheduleStore
    session_traces: SessionTraces
    sessions: SessionStore
    signals: WorkerSignals
    surveys: TenantSurveys
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
        contents = Contents.under(settings.encryption_keys)
        base = (redis, keys, settings.event_log_length, LimitDefaults.of(settings), contents)
        return cls(
            redis,
            keys,
            address_limits=AddressLimitStore(redis, keys),
            admission=AdmissionStore(*base),
            answers=AnswerCache(*base, most_bytes=gateway.cache_bytes),
            api_keys=ApiKeyStore(redis, keys),
            audit=AuditTrail(redis, keys, copies=settings.audit_copies),
            audit_reader=AuditReader(redis, keys),
            batch_events=BatchLog(redis, keys, contents),
            batches=BatchStore(*base),
            callbacks=CallbackLog(*base),
            catalog_changes=CatalogChanges(redis, keys),
            consistency=ConsistencyStore(*base),
            dead_letters=DeadLetterStore(*base),
            delegations=DelegationStore(*base),
            due=DueTenants(redis, keys),
            enqueue=EnqueueStore(*base),
            events=EventLog(redis, keys, contents),
            feed=FeedLog(redis, keys, contents),
            gateway_calls=GatewayCalls(
                *base,
                lease_ms=round(settings.lease * 1000),
                give_up_ms=round(gateway.give_up_after * 1000),
            ),
            ownership=OwnershipStore(*base),
            packing=PackingStore(*base),
            plain_tasks=PlainTaskStore(*base),
            idempotency=IdempotencyStore(*base),
            intake=IntakeStore(redis, keys),
            known_tenants=KnownTenants(redis, keys),
            ledger=UsageLedger(*base),
            limits=LimitStore(*base),
            memory_walk=MemoryWalk(*base),
            nodes=Nodes(redis, keys),
            notices=SystemEventStore(redis, keys),
            notification_events=NotificationLog(redis, keys, contents),
            notifications=NotificationStore(*base),
            quotas=QuotaStore(*base),
            ready=ReadyTenants(redis, keys),
            reservation_checks=ReservationChecks(*base),
            result_queues=ResultQueues(*base),
            revocations=RevocationStore(redis, keys, settings.jwt.max_lifetime),
            schedules=ScheduleStore(*base),
            session_traces=SessionTraces(*base),
            sessions=SessionStore(*base),
            signals=WorkerSignals(redis, keys),
            surveys=TenantSurveys(*base),
            task_events=TaskLog(redis, keys, contents),
            tasks=TaskStore(*base),
            tenants=TenantStates(*base),
            timelines=TimelineStore(*base),
            transfers=TransferStore(*base),
            workflows=WorkflowStore(*base),
        )
