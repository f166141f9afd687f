"""The load of the service, as operators see it: processes, and the tenants that have work."""

from typing import Annotated

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.operations.system_events import SystemEvent
from orchestrator.models.operations.tenant import Queue


@frozen
class Waits:
    """How long tasks that started lately had waited since they were accepted, in ms."""

    p50_ms: float = 0.0
    p99_ms: float = 0.0
    samples: int = 0


@frozen
class CalleeBreaker:
    """The breaker of one agent, tool, workflow or tenant behind a service."""

    service: str
    tenant_id: str
    callee: Annotated[str, Meta(description="Such as `agent:echo`; empty: the tenant itself.")]
    state: Annotated[str, Meta(description="`open` or `half_open`.")]


@frozen
class OpenCall:
    """A call of a service that a process waits for."""

    tenant_id: str
    correlation_id: str
    call: Annotated[str, Meta(description="Such as `agent_execution.execute`.")]
    since: Timestamp
    callee: Annotated[str, Meta(description="Such as `agent:echo`; empty: none.")] = ""


@frozen
class NodeLoad:
    """What a process says of itself with each heartbeat."""

    node: str
    host: str
    pid: int
    version: str
    started_at: Timestamp
    slots: Annotated[int, Meta(description="Tasks that it runs at once, at most.")]
    in_hand: int
    claimed: Annotated[int, Meta(description="Tasks that it has claimed since it started.")]
    ended: Annotated[int, Meta(description="Tasks that left its hands since it started, however they ended.")]
    claims_per_second: Annotated[float, Meta(description="Since the heartbeat before.")] = 0.0
    ends_per_second: Annotated[float, Meta(description="Since the heartbeat before.")] = 0.0
    waits: Waits = Waits()
    limit: Annotated[
        int,
        Meta(
            description="Tasks that it runs at once at present: fewer than its slots while its event loop is busy, or "
            "while there is less work. 0: it did not say."
        ),
    ] = 0
    loop_busy: Annotated[float, Meta(description="Share of its time that its event loop worked, 0 to 1.")] = 0.0
    tenants: Annotated[dict[str, int], Meta(description="Tasks in hand, of those tenants that have most.")] = field(
        factory=dict
    )
    breakers: Annotated[
        dict[str, str], Meta(description="Services that it leaves alone (`open`) or probes (`half_open`), by name.")
    ] = field(factory=dict)
    callee_breakers: Annotated[
        list[CalleeBreaker],
        Meta(description="Agents, tools, workflows and tenants that it leaves alone or probes, at most 50."),
    ] = field(factory=list)
    open_calls: Annotated[
        list[OpenCall], Meta(description="Calls that have been open for longer than a second, the oldest 100.")
    ] = field(factory=list)


@frozen
class Node:
    """A process, and how long ago it was heard of."""

    node: str
    heartbeat_age_ms: int
    live: Annotated[bool, Meta(description="False where it has been silent for so long that it counts as gone.")]
    load: Annotated[NodeLoad | None, Meta(description="null: it did not say.")] = None


@frozen
class Load:
    """The load of the whole service at a moment."""

    at: Timestamp
    nodes: list[Node]
    slots: int
    in_hand: int
    queued: Annotated[int, Meta(description="Of the tenants that were looked at.")]
    delayed: int
    dead_letters: int
    oldest_waiting: Timestamp | None
    claims_per_second: float
    ends_per_second: float
    waits: Waits
    tenants_ready: Annotated[int, Meta(description="Tenants whose turn is to come.")]
    tenants_seen: Annotated[int, Meta(description="Tenants that were looked at, at most 500 with work.")]
    tenants: Annotated[
        list[Queue], Meta(description="Those that are damaged, then those with most work, the most first.")
    ]
    breakers: Annotated[
        dict[str, int], Meta(description="Services that are left alone or probed, with the number of processes.")
    ] = field(factory=dict)
    limit: Annotated[int, Meta(description="Tasks that all live processes run at once at present.")] = 0
    backlog: Annotated[int, Meta(description="All that was accepted and is not done, of the tenants looked at.")] = 0
    callee_breakers: Annotated[
        list[CalleeBreaker],
        Meta(description="Agents, tools, workflows and tenants that any process leaves alone or probes, at most 50."),
    ] = field(factory=list)
    notices: Annotated[list[SystemEvent], Meta(description="What happened to the service last, the newest first.")] = (
        field(factory=list)
    )
