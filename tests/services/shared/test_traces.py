"""The trace context in the record of a task, which any program may have written."""

import pytest
from attrs import evolve

from orchestrator.models.common.principal import LONGEST_STATE, TraceContext
from orchestrator.models.tasks.task import TaskMetadata
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.shared.traces import trace_of
from tests.support.calls import a_message

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def metadata(traceparent: str | None, state: object = None) -> TaskMetadata:
    return TaskMetadata("ann", traceparent=traceparent, carried={} if state is None else {"tracestate": state})


def test_a_trace_context_is_read_with_its_state() -> None:
    assert trace_of(metadata(PARENT, "vendor=1,other=2")) == TraceContext("a" * 32, "b" * 16, True, "vendor=1,other=2")
    assert trace_of(metadata(PARENT[:-1] + "0")) == TraceContext("a" * 32, "b" * 16, sampled=False)


@pytest.mark.parametrize(
    "traceparent",
    [
        *(None, "", "no trace", f"{PARENT}\r\nX-Tenant-ID: globex", f"ff{PARENT[2:]}", PARENT.upper()),
        *(f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", f"{PARENT}-more"),
    ],
)
async def test_what_is_no_trace_context_is_not_passed_on_to_services(traceparent: str | None) -> None:
    told = metadata(traceparent, "vendor=1")
    assert trace_of(told) is None
    begun = call_of(evolve(a_message(), metadata=told), 1.0).trace
    assert TraceContext.read(str(begun)) == begun
    assert begun.state == ""


@pytest.mark.parametrize("state", ["a=1\r\nX-Tenant-ID: globex", "a=ü", "x" * (LONGEST_STATE + 1), 7, ["a=1"]])
def test_a_state_that_no_header_can_hold_is_left_out(state: object) -> None:
    assert trace_of(metadata(PARENT, state)) == TraceContext("a" * 32, "b" * 16)
