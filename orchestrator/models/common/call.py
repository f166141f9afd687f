"""What travels with a call to a downstream service."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve, field, frozen

from orchestrator.models.common.principal import TraceContext

LONGEST_CALLEE: Final = 200


def _nothing() -> None:
    """Ignore it."""


@frozen
class CallOrigin:
    """The work that a call is part of; what is not known is empty."""

    user_id: str = ""
    session_id: str = ""
    conversation_id: str = ""
    agent_id: str = ""
    task_id: str = ""
    carried: Mapping[str, Any] = field(factory=dict)
    """Metadata of the task that travels along, as it came."""


NO_ORIGIN: Final = CallOrigin()


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
    origin: CallOrigin = NO_ORIGIN

    def keyed(self, key: str) -> "CallContext":
        """Return the same context with an idempotency key."""
        return self._with(self.deadline, key, self.callee, self.heard, self.origin)

    def to(self, kind: str, name: str) -> "CallContext":
        """Return the same context, of a call that runs an agent, a tool or a workflow.

        Args:
            kind: `agent`, `tool` or `workflow`.
            name: its id; agents may give any text for one, so it is cut at `LONGEST_CALLEE` characters.
        """
        callee = f"{kind}:{name[:LONGEST_CALLEE]}"
        return self._with(self.deadline, self.idempotency_key, callee, self.heard, self.origin)

    def within(self, **known: str | None) -> "CallContext":
        """Return the same context with more known of its origin, such as `agent_id`; None says nothing."""
        more: dict[str, Any] = {name: value for name, value in known.items() if value}
        return self._with(self.deadline, self.idempotency_key, self.callee, self.heard, evolve(self.origin, **more))

    def for_try(self, deadline: float, heard: Callable[[], None]) -> "CallContext":
        """Return the context of one try, with a deadline that is not later than `deadline`."""
        return self._with(min(self.deadline, deadline), self.idempotency_key, self.callee, heard, self.origin)

    def under(self, span: tuple[str, str, bool, str] | None) -> "CallContext":
        """Return the same context with the trace context of a span: ids, whether it is kept, and its `tracestate`."""
        return self if span is None else evolve(self, trace=TraceContext(*span))

    def until(self, deadline: float) -> "CallContext":
        """Return the same context with a deadline that is not later than `deadline`."""
        if self.deadline <= deadline:
            return self
        return self._with(deadline, self.idempotency_key, self.callee, self.heard, self.origin)

    def _with(
        self, deadline: float, key: str | None, callee: str, heard: Callable[[], None], origin: CallOrigin
    ) -> "CallContext":
        """Return a copy, by a third of the time that `attrs.evolve` takes: a turn makes a dozen."""
        return CallContext(
            self.tenant_id, self.correlation_id, self.request_id, self.trace, deadline, key, callee, heard, origin
        )
