"""A call of the gateway on its way."""

from enum import StrEnum
from typing import Any

from attrs import field, frozen

from orchestrator.models.gateway.usage import Payer, UsageKind


class CallEnding(StrEnum):
    """How a call of the gateway ends."""

    SETTLED = "settled"
    """What it has spent is known, and counted."""
    RELEASED = "released"
    """It has spent nothing."""
    GIVEN_UP = "given_up"
    """What it has spent is unknown, and it is not asked for again."""


@frozen
class GatewayCall:
    """What is needed to make a call, and to make it again under the same name."""

    call_id: str
    """Its idempotency key; the service answers a repetition with what it answered first."""
    tenant_id: str
    kind: UsageKind
    body: dict[str, Any]
    """As the service gets it."""
    model: str = ""
    """That was asked for; empty: the service's own."""
    estimate: int = 0
    """Tokens that it may spend."""
    payer: Payer = field(factory=Payer)
    correlation_id: str = ""
    named: bool = False
    """Whether the name is the caller's, who may repeat the call after it was settled."""

    @property
    def streams(self) -> bool:
        """Whether its answer is streamed."""
        return self.body.get("stream") is True


@frozen
class InDoubtCall:
    """An open call without a lease, whose usage is unknown."""

    call: GatewayCall
    age_ms: int
    looks: int
    """How often it was asked for so far, this time included."""
