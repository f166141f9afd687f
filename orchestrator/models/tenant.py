"""Tenants, as operators see them."""

from enum import StrEnum
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.ids import Id


class TenantState(StrEnum):
    """What is done with a tenant's work."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"
    DRAINED = "drained"


@frozen
class Tenant:
    """A tenant's state and how much of its work is there."""

    tenant_id: Id
    state: Annotated[
        TenantState,
        Meta(
            description=(
                "`active`; `paused`: work is taken in, but nothing new starts; `draining`: nothing is taken in, "
                "and what is there is worked off; `drained`: nothing is left, and nothing starts."
            )
        ),
    ]
    queued: Annotated[int, Meta(ge=0, description="Tasks that wait for a worker.")]
    in_hand: Annotated[int, Meta(ge=0, description="Tasks that run.")]
    delayed: Annotated[int, Meta(ge=0, description="Tasks that wait for a moment, or for a client's tool.")]
    dead_letters: Annotated[int, Meta(ge=0, description="Tasks that could not be done.")]
