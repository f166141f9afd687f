"""Spans where nothing is traced, and what makes one fail."""

import subprocess
import sys

import pytest
import trio
from opentelemetry.trace import StatusCode

from orchestrator.errors import CallTimeout, NotFound
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.telemetry.tracing.spans import NO_SPAN, SpanKind, begin, current_ids, current_span, is_recording, note
from tests.support.spans import failure, kept_spans


def test_where_nothing_is_traced_all_spans_are_the_one_that_does_nothing() -> None:
    assert not is_recording()
    with begin("work", SpanKind.INTERNAL, {"a": 1}, None, current=True) as span:
        span.say({"b": 2})
        span.name("more work")
        span.fail("ORCH_INT_001")
        note("seen", {})
        assert span is current_span() is NO_SPAN
        assert span.ids is None
        assert current_ids() is None


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("cli.main, cli.commands.operations.config, cli.commands.work.trace", ("opentelemetry",)),
        # redis-py imports the metrics of whatever is installed of OpenTelemetry.
        ("orchestrator.main", ("opentelemetry.sdk.trace", "opentelemetry.exporter")),
    ],
)
def test_where_nothing_is_traced_what_makes_spans_is_not_even_imported(modules: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {modules}; print([name for name in sys.modules if name.startswith({unwanted!r})])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_a_span_under_a_parent_is_of_its_trace_and_the_current_one_until_it_ends() -> None:
    with kept_spans() as spans:
        with begin("outer", SpanKind.INTERNAL, {}, None, current=True) as outer:
            inside = begin("inner", SpanKind.CLIENT, {}, outer.ids)
            assert current_ids() == outer.ids
            inside.end()
        assert current_ids() is None
    inner, above = spans.all()
    assert inner.parent is not None
    assert (inner.parent.span_id, inner.parent.is_remote) == (above.context.span_id, False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CallTimeout("late"), CallTimeout.code),
        (ExceptionGroup("", [CallTimeout("late")]), CallTimeout.code),
        (ValueError("a secret"), "ValueError"),
        (CallWaits(Wait("call-1", WaitKind.CLIENT_TOOL, 1000)), None),
    ],
    ids=["error of the service", "group", "bug", "wait"],
)
def test_a_span_has_failed_with_what_ends_its_block(error: Exception, expected: str | None) -> None:
    with kept_spans() as spans, pytest.raises(type(error)), begin("work", SpanKind.INTERNAL, {}, None):
        raise error
    span = spans.one("work")
    assert failure(span) == expected
    assert (span.status.status_code is StatusCode.ERROR) == (expected is not None)
    assert "secret" not in spans.said()


async def test_what_is_cancelled_has_not_failed() -> None:
    with kept_spans() as spans, trio.move_on_after(0), begin("work", SpanKind.INTERNAL, {}, None, current=True):
        await trio.sleep_forever()
    assert failure(spans.one("work")) is None


def test_what_serves_a_request_does_not_fail_by_the_faults_of_the_request() -> None:
    with kept_spans() as spans:
        error = NotFound("There is none.")
        with pytest.raises(NotFound), begin("work", SpanKind.SERVER, {}, None):
            raise error
    span = spans.one("work")
    assert failure(span) is None
    assert dict(span.attributes or {})["nooble.error_code"] == error.code


def test_a_span_that_has_ended_stays_as_it_was() -> None:
    with kept_spans() as spans:
        with begin("work", SpanKind.INTERNAL, {}, None) as span:
            pass
        span.say({"a": 1})
        span.fail("late")
    assert dict(spans.one("work").attributes or {}) == {}
