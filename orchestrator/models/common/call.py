"""What travels with a call to a downstream service."""

from collections.abc import Callable
from typing import Final

from attrs import evolve, field, frozen

from orchestrator.models.common.principal import TraceContext

LONGEST_CALLEE: Final = 200


def _nothing() -> None:
    """Ignore it."""


@frozen
class CallContext:
    """On whose behalf a service is called, and until when the answer is of use."""

    tenant_id: str
    correlation_id: str
    request_id: str
    trace: TraceContext
    deadline: float
    """The moment, on trio's clock in seconds, after which the caller no longer waits."""
    idempotency_key: str | None = None
    """Names the effect of the call: the service does it once, however often the call is repeated."""
    callee: str = ""
    """Agent, tool or workflow whose code the call runs, such as `agent:echo`: its failures are counted apart."""
    heard: Callable[[], None] = field(default=_nothing, eq=False, repr=False)
    """Called when the service has begun to answer, by the code that streams its answer."""

    def keyed(self, key: str) -> "CallContext":
        """Return the same context with an idempotency key."""
        return evolve(self, idempotency_key=key)

    def to(self, kind: str, name: str) -> "CallContext":
        """Return the same context, of a call that runs an agent, a tool or a workflow.

        Args:
            kind: `agent`, `tool` or `workflow`.
            name: its id; agents may give any text for one, so it is cut at `LONGEST_CALLEE` characters.
        """
        return evolve(self, callee=f"{kind}:{name[:LONGEST_CALLEE]}")

    def until(self, deadline: float) -> "CallContext":
        """Return the same context with a deadline that is not later than `deadline`."""
        return self if self.deadline <= deadline else evolve(self, deadline=deadline)
