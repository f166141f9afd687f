"""What travels with a call: each change leaves everything else as it was."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve, fields

from orchestrator.models.common.call import LONGEST_CALLEE, CallContext, CallOrigin
from orchestrator.models.common.principal import TraceContext


def _heard() -> None:
    """Ignore it."""


def _heard_too() -> None:
    """Ignore it."""


CALL = CallContext(
    "acme", "corr", "req", TraceContext("a" * 32, "b" * 16), 10.0, "key", "agent:echo", _heard, CallOrigin("ann", "s1")
)


def told(call: CallContext) -> dict[str, Any]:
    """Return all fields, those that do not count for equality too."""
    return {attribute.name: getattr(call, attribute.name) for attribute in fields(CallContext)}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda call: call.keyed("other"), {"idempotency_key": "other"}),
        (lambda call: call.to("tool", "x" * 300), {"callee": "tool:" + "x" * LONGEST_CALLEE}),
        (lambda call: call.within(agent_id="echo", task_id=None), {"origin": CallOrigin("ann", "s1", agent_id="echo")}),
        (lambda call: call.until(5.0), {"deadline": 5.0}),
        (lambda call: call.until(15.0), {}),
        (lambda call: call.for_try(5.0, _heard_too), {"deadline": 5.0, "heard": _heard_too}),
        (lambda call: call.for_try(15.0, _heard_too), {"heard": _heard_too}),
    ],
)
def test_a_change_leaves_all_else_as_it_was(
    change: Callable[[CallContext], CallContext], changed: dict[str, Any]
) -> None:
    assert told(change(CALL)) == told(evolve(CALL, **changed))
