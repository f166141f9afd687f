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


def test_slots_are_read_at_each_scrape() -> None:
    metrics, in_hand = Metrics(), 3
    metrics.watch_slots(lambda: in_hand, lambda: 6, lambda: 0.5)
    in_hand = 4
    read = [figure(metrics, name) for name in ("tasks_in_hand", "task_limit", "event_loop_busy_ratio")]
    assert read == [4, 6, 0.5]


def test_made_up_methods_and_tenants_make_no_series() -> None:
    metrics = Metrics(tenants=3)
    for number in range(500):
        metrics.request(f"X{number}", "unmatched", 405, 0.001)
        metrics.session_created(f"tenant-{number}", "guide")
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


def test_a_tenant_that_gets_its_label_back_is_counted_anew() -> None:
    metrics = Metrics(tenants=1)
    for tenant_id in ("acme", "acme", *["busy"] * 8, *["acme"] * 40):
        metrics.call(tenant_id, "query", "query", 0.1, None)
    again = figure(metrics, "service_call_total", tenant="acme")
    assert again is not None
    assert figure(metrics, "service_call_total", tenant="busy") is None
    metrics.call("acme", "query", "query", 0.1, None)
    assert figure(metrics, "service_call_total", tenant="acme") == again + 1


def test_a_tenant_that_loses_its_label_loses_its_series() -> None:
    metrics = Metrics(tenants=1)
    metrics.message_processed("quiet", "completed", 1.0)
    for _ in range(5):
        metrics.message_processed("busy", "completed", 2.0)
    assert figure(metrics, "messages_processed_total", tenant="quiet", status="completed") is None
    assert figure(metrics, "messages_processed_total", tenant="busy", status="completed") == 3
    assert figure(metrics, "messages_processed_total", tenant=OTHER, status="completed") == 2
    assert figure(metrics, "message_processing_seconds_count", tenant="quiet") is None
    assert figure(metrics, "message_processing_seconds_count") == 5


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


def test_agents_beyond_the_bound_share_a_label() -> None:
    metrics = Metrics(tenants=2, agents=3)
    for number in range(40):
        metrics.session_created("acme", f"agent-{number}")
    assert figure(metrics, "sessions_created_total", tenant_id="acme", agent_id="agent-1") == 1
    assert figure(metrics, "sessions_created_total", tenant_id="acme", agent_id=OTHER) == 37
    assert metrics.render("")[0].decode().count("sessions_created_total{") == 4


def test_a_label_with_two_names_has_one_value() -> None:
    metrics = Metrics()
    metrics.tokens("acme", "echo", prompt=3, completion=4)
    metrics.request("GET", "/api/v1/session.list", 200, 0.01)
    labels = {"tenant": "acme", "tenant_id": "acme", "agent_id": "echo", "kind": "completion", "type": "completion"}
    assert figure(metrics, "tokens_total", **labels) == 4
    assert figure(metrics, "http_requests_total", route="/api/v1/session.list", endpoint="/api/v1/session.list") == 1


def test_a_session_that_has_ended_is_counted_with_its_life() -> None:
    metrics = Metrics()
    metrics.session_completed("acme", "echo", "terminated", 61.0)
    labels = {"tenant_id": "acme", "agent_id": "echo"}
    assert figure(metrics, "sessions_completed_total", **labels, status="terminated") == 1
    assert figure(metrics, "session_duration_seconds_sum", **labels) == 61
    assert figure(metrics, "session_duration_seconds_bucket", **labels, le="60.0") == 0
    assert figure(metrics, "session_duration_seconds_bucket", **labels, le="300.0") == 1


def test_open_sockets_are_shown_by_tenant() -> None:
    metrics = Metrics(tenants=1)
    metrics.watch_sockets(lambda: {"acme": 2, "globex": 1})
    shown = {tenant: figure(metrics, "websocket_connections_active", tenant_id=tenant) for tenant in ("acme", OTHER)}
    assert shown == {"acme": 2, OTHER: 1}
