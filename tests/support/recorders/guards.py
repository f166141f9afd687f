"""What stands before every request: the limit of requests, the security trail, and revoked tokens."""

from collections.abc import Awaitable, Callable

from attrs import define, field

from orchestrator.domain.revocations import RevocationIndex
from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.operations.revocation import Revocation, TokenRevoke, TokenRevoked
from orchestrator.services.shared.address_limits import AddressCounts
from tests.support.recorders.chat import RATE
from tests.support.recorders.sessions import NOW


@define
class RateLimiterRecorder:
    """Lets everything pass, or nothing."""

    error: Exception | None = None
    """What every request is refused with."""

    async def check(self, principal: Principal, cost: int = 1) -> RateState:
        if self.error is not None:
            raise self.error
        return RATE


@define
class ClassLimiterRecorder:
    """Bounds no class of requests."""

    async def check(self, principal: Principal, rate_class: RateClass) -> RateState | None:
        return None


@define
class AddressLimitsRecorder:
    """Hears of no other process."""

    counts: AddressCounts | None = None

    async def failure(self, address: str, kept_seconds: float) -> int:
        return 0


@define
class AuditRecorder:
    """Keeps what is audited."""

    entries: list[dict[str, str]] = field(factory=list)
    error: Exception | None = None

    @property
    def actions(self) -> list[str]:
        """What was done."""
        return [entry["action"] for entry in self.entries]

    async def record(
        self,
        action: str,
        *,
        outcome: str,
        tenant_id: str = "",
        user_id: str = "",
        remote_address: str = "",
        correlation_id: str = "",
        detail: str = "",
    ) -> None:
        if self.error is not None:
            raise self.error
        self.entries.append(
            {
                "action": action,
                "outcome": outcome,
                "tenant_id": tenant_id,
                "user_id": user_id,
                "remote_address": remote_address,
                "correlation_id": correlation_id,
                "detail": detail,
            }
        )


@define
class RevocationRecorder:
    """Has what tests revoke, and keeps what it is asked to."""

    index: RevocationIndex = field(factory=RevocationIndex)
    watchers: list[Callable[[], None]] = field(factory=list)
    asked: list[TokenRevoke] = field(factory=list)
    others: list[Callable[[Principal], bool]] = field(factory=list)
    renew_keys: Callable[[], Awaitable[None]] | None = None

    def covers(self, principal: Principal) -> bool:
        return self.index.covers(principal) or any(withdrawn(principal) for withdrawn in self.others)

    def consider(self, withdrawn: Callable[[Principal], bool]) -> None:
        self.others.append(withdrawn)

    def watch(self, told: Callable[[], None]) -> None:
        self.watchers.append(told)

    async def revoke(self, ctx: RequestContext, request: TokenRevoke) -> TokenRevoked:
        self.asked.append(request)
        return TokenRevoked(NOW, NOW)

    def add(self, jti: str = "", user_id: str = "", tenant_id: str = "", *, before_ms: int = 0) -> None:
        """Revoke, and tell the watchers."""
        self.index.add(Revocation(jti, user_id, tenant_id, before_ms, before_ms + 1))
        for told in self.watchers:
            told()
