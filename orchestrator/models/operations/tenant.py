"""Tenants and their queues, as operators see them."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.config.tenant_limits import SpendingLimits, TenantLimits, Tier, limits_of, with_fields
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.common.unset import UNSET, Unset


class TenantState(StrEnum):
    """What is done with a tenant's work."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"
    DRAINED = "drained"


class DrainMode(StrEnum):
    """What a drain does with what is queued."""

    WORK_OFF = "work_off"
    DISCARD = "discard"


@frozen
class Depth:
    """How many tasks wait in each lane."""

    high: Annotated[int, Meta(ge=0)] = 0
    normal: Annotated[int, Meta(ge=0)] = 0
    low: Annotated[int, Meta(ge=0)] = 0


_State = Annotated[
    TenantState,
    Meta(
        description=(
            "`active`; `paused`: work is taken in, but nothing new starts; `draining`: nothing is taken in, "
            "and what is there is worked off or put aside; `drained`: nothing is left, and nothing starts."
        )
    ),
]
_Queued = Annotated[int, Meta(ge=0, description="Tasks that wait for a worker.")]
_Backlog = Annotated[int, Meta(ge=0, description="All that was accepted and is not done, wherever it stands.")]
_InHand = Annotated[int, Meta(ge=0, description="Tasks that run.")]
_Delayed = Annotated[int, Meta(ge=0, description="Tasks that wait for a moment, or for a client's tool.")]
_Parked = Annotated[int, Meta(ge=0, description="Tasks that a drain has put aside.")]
_DeadLetters = Annotated[int, Meta(ge=0, description="Tasks that could not be done.")]
_Oldest = Annotated[
    Timestamp | None, Meta(description="When the task was taken in that waits at the head of a lane for longest.")
]
_Damage = Annotated[
    str | None, Meta(description="What of it can't be read, which is shown as its default here. Null: nothing.")
]
_Behind = Annotated[int, Meta(ge=0, description="Of those that wait: behind another task of the same user.")]
_BehindSessions = Annotated[int, Meta(ge=0, description="Turns that wait behind another one of their session.")]
_BatchItems = Annotated[int, Meta(ge=0, description="Items of batches that become tasks when earlier ones have ended.")]


@frozen
class Quota:
    """How much of a quota is used."""

    used: Annotated[int, Meta(ge=0, description="How much there is; of bytes an estimate.")]
    limit: Annotated[int | None, Meta(description="How much there may be; null: any number.")] = None


@frozen
class Tenant:
    """A tenant's state, what is configured of it, and how much of its work is there."""

    tenant_id: Id
    state: _State
    queued: _Queued
    in_hand: _InHand
    delayed: _Delayed
    dead_letters: _DeadLetters
    parked: _Parked = 0
    backlog: _Backlog = 0
    depth: Depth = Depth()
    behind_users: _Behind = 0
    behind_sessions: _BehindSessions = 0
    batch_items: _BatchItems = 0
    oldest_waiting: _Oldest = None
    weight: Annotated[float, Meta(description="Its share beside other tenants, of which each has 1.")] = 1.0
    limits: TenantLimits = TenantLimits()  # noqa: RUF009 - frozen
    fair_users: Annotated[bool, Meta(description="Whether its users share fairly.")] = False
    tier: Annotated[Tier | None, Meta(description="Its own; null: the service's.")] = None
    spending: SpendingLimits = SpendingLimits()  # noqa: RUF009 - frozen
    models: Annotated[
        dict[str, SpendingLimits], Meta(description="What it may spend on single models, beside what it may in all.")
    ] = field(factory=dict)
    drain: Annotated[DrainMode | None, Meta(description="How it drains, where it does.")] = None
    drain_deadline: Annotated[
        Timestamp | None, Meta(description="When what is still queued is put aside, where it drains.")
    ] = None
    quotas: Annotated[
        dict[str, Quota], Meta(description="How much of its quotas it uses, by the name of the limit.")
    ] = field(factory=dict)
    damage: _Damage = None


@frozen
class Queue:
    """A tenant's queue: how much is where, and whose turn it is."""

    tenant_id: Id
    state: _State
    depth: Depth
    queued: _Queued
    in_hand: _InHand
    delayed: _Delayed
    parked: _Parked
    dead_letters: _DeadLetters
    backlog: _Backlog = 0
    behind_users: _Behind = 0
    behind_sessions: _BehindSessions = 0
    batch_items: _BatchItems = 0
    oldest_waiting: _Oldest = None
    accepted_per_minute: Annotated[int, Meta(ge=0, description="Tasks taken in within the last minute.")] = 0
    weight: float = 1.0
    virtual_time: Annotated[
        float | None,
        Meta(description="Where it stands among the tenants: the smallest is next. Null: it waits for nothing."),
    ] = None
    damage: _Damage = None


def _configured(section: type) -> dict[str, tuple[Any, Any]]:
    """Return the fields of limits as `tenant.configure` takes them."""
    return {
        row.name: (Annotated[row.number | Unset | None, row.bounds()], field(default=UNSET))
        for row in limits_of(section)
    }


@frozen
@with_fields(_configured(SpendingLimits), before="models")
@with_fields(_configured(TenantLimits), before="fair_users")
class TenantSettings:
    """What `tenant.configure` takes; what is left out stays as it is, and null removes what is the tenant's own."""

    weight: Annotated[
        float | Unset | None, Meta(ge=0.001, le=1000, description="Its share beside other tenants; null: 1.")
    ] = UNSET
    fair_users: Annotated[bool | None, Meta(description="Whether its users share fairly; null: as it is.")] = None
    tier: Annotated[
        Tier | Unset | None, Meta(description="What it may spend where nothing else is said; null: the service's.")
    ] = UNSET
    models: Annotated[
        dict[str, SpendingLimits | None] | None,
        Meta(
            max_length=100,
            description="Limits of single models, by name; each replaces those the model had, and null removes them.",
        ),
    ] = None


@frozen
class DrainRequest:
    """What `tenant.drain` takes."""

    mode: Annotated[
        DrainMode,
        Meta(description="`work_off`: what is queued is run first; `discard`: it is put aside, until a resume."),
    ] = DrainMode.WORK_OFF
    deadline_seconds: Annotated[
        float | None, Meta(ge=0, le=2_592_000, description="After so long, what is still queued is put aside.")
    ] = None


@frozen
class CallbackSecret:
    """What signs a tenant's callbacks; its receivers verify with it."""

    tenant_id: Id
    secret: Annotated[str, Meta(description="`whsec_` and the key in base64.")]
