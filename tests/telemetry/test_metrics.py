"""What is counted, and under which labels."""

import trio
import trio.testing

from orchestrator.telemetry.loop_lag import EVERY, watch_loop
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.tenant_labels import OTHER, TenantLabels
from tests.telemetry.figures import figure


def test_each_process_counts_for_itself() -> None:
    one, another = Metrics(), Metrics()
    one.fenced()
    assert (figure(one, "fenced_writes_total"), figure(another, "fenced_writes_total")) == (1, 0)


def test_made_up_methods_and_tenants_make_no_series() -> None:
    metrics = Metrics(tenants=3)
    for number in range(500):
        metrics.request(f"X{number}", "unmatched", 405, 0.001)
        metrics.session_created(f"tenant-{number}")
    assert figure(metrics, "http_requests_total", method="other", route="unmatched", status="405") == 500
    text = metrics.render("")[0].decode()
    assert text.count("sessions_created_total{") == 4
    assert figure(metrics, "sessions_created_total", tenant="tenant-0") == 1
    assert figure(metrics, "sessions_created_total", tenant=OTHER) == 497


def test_a_busier_tenant_takes_the_place_of_the_least_busy() -> None:
    gone: list[str] = []
    labels = TenantLabels(2, gone.append)
    for tenant_id in ("big", "big", "big", "small"):
        assert labels.of(tenant_id) == tenant_id
    assert [labels.of("new") for _ in range(3)] == [OTHER, OTHER, "new"]
    assert gone == ["small"]
    assert [labels.of(tenant_id) for tenant_id in ("big", "new", "small")] == ["big", "new", OTHER]


def test_a_flood_of_tenants_takes_no_place_and_bounded_memory() -> None:
    gone: list[str] = []
    labels = TenantLabels(5, gone.append)
    for _ in range(200):
        for number in range(5):
            labels.of(f"steady-{number}")
    for number in range(2000):
        labels.of(f"once-{number}")
    assert len(labels._waiting) <= 20
    assert gone == []


def test_a_tenant_that_loses_its_label_loses_its_series() -> None:
    metrics = Metrics(tenants=1)
    metrics.message_processed("quiet", "completed", 1.0)
    for _ in range(5):
        metrics.message_processed("busy", "completed", None)
    assert figure(metrics, "messages_processed_total", tenant="quiet", status="completed") is None
    assert figure(metrics, "messages_processed_total", tenant="busy", status="completed") == 3
    assert figure(metrics, "messages_processed_total", tenant=OTHER, status="completed") == 2
    assert figure(metrics, "message_processing_seconds_count") == 1


def test_a_tenant_of_the_name_of_all_others_shares_their_label() -> None:
    labels = TenantLabels(1, lambda tenant_id: None)
    assert (labels.of(OTHER), labels.of("acme"), labels.of(OTHER)) == (OTHER, "acme", OTHER)


def test_the_deepest_queues_are_shown_by_name_and_empty_ones_not_at_all() -> None:
    metrics = Metrics(tenants=2)
    metrics.queue_depths({"a": 1, "b": 7, "c": 3, "d": 2, "e": 0})
    metrics.queue_depths({"a": 1, "b": 0, "c": 3, "d": 2, "e": 0})
    shown = {tenant: figure(metrics, "queue_depth", tenant=tenant) for tenant in ("a", "b", "c", "d", OTHER)}
    assert shown == {"a": None, "b": None, "c": 3, "d": 2, OTHER: 1}


def test_the_longest_waits_are_shown_by_name_and_the_longest_of_the_rest_as_theirs() -> None:
    metrics = Metrics(tenants=1)
    metrics.queue_lags({"a": 1.5, "b": 7.0, "c": 3.0})
    shown = {tenant: figure(metrics, "queue_lag_seconds", tenant=tenant) for tenant in ("a", "b", OTHER)}
    assert shown == {"a": None, "b": 7, OTHER: 3}
    metrics.queue_lags({"a": 0.0})
    assert figure(metrics, "queue_lag_seconds", tenant=OTHER) == 0


async def test_the_lag_of_the_event_loop_is_seen(autojump_clock: trio.testing.MockClock) -> None:
    lags: list[float] = []
    with trio.move_on_after(3.2 * EVERY):
        await watch_loop(lags.append)
    assert lags == [0.0, 0.0, 0.0]
