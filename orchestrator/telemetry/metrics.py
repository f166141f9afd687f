"""Figures for Prometheus: one registry a process, and a hook for each thing that is counted.

Nothing is kept outside a `Metrics`; code that is given none counts into one that is not exported. Labels are bounded:
those of routes, services and errors by the code itself, those of tenants by `tenant_labels`.
"""

from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from orchestrator.telemetry.tenant_labels import OTHER, TenantLabels

NAMESPACE: Final = "nooble_orchestrator"
TENANTS: Final = 50
"""Tenants with a label of their own."""
UNMATCHED: Final = "unmatched"
"""The route of requests that no route takes."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BREAKER_STATES: Final = ("closed", "half_open", "open")
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0)


class Metrics:
    """Counts what one process does.

    Args:
        tenants: how many tenants have a label of their own.
    """

    def __init__(self, *, tenants: int = TENANTS) -> None:
        self.registry = CollectorRegistry()
        self._tenants = tenants
        self._labels = TenantLabels(tenants, self._retire)
        self._http: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)
        self._make_doors()
        self._make_work()
        self._make_calls()

    def _make_doors(self) -> None:
        self._requests = self._counter(
            "http_requests_total",
            "HTTP requests, by method, route and status; 499: the client left before the answer.",
            "method", "route", "status",
        )  # fmt: skip
        self._durations = self._histogram(
            "http_request_duration_seconds", "From a request to the end of its answer, by route.", _QUICK, "route"
        )
        self._sockets = self._gauge("websocket_connections_active", "Sockets that the process holds.")
        self._loop_failures = self._counter(
            "background_failures_total",
            "How often a background loop could not go on because of what Redis said, and was run again, by loop.",
            "loop",
        )
        self._unreadable = self._counter(
            "unreadable_input_total",
            "Messages of channels and members of shared keys that could not be read and were dropped, by source.",
            "source",
        )
        self._limited = self._counter(
            "rate_limited_total", "Refusals because of a limit, by door (`http`, `websocket`) and error code.",
            "door", "code",
        )  # fmt: skip
        self._audited = self._counter(
            "audit_entries_total",
            "Entries of the audit trail: `written`, `sampled` (counted alone), `cut` (early), `logged` (only so).",
            "outcome",
        )
        self._lag = self._histogram(
            "event_loop_lag_seconds", "How late the event loop is, looked at twice a second.", _QUICK
        )

    def _make_work(self) -> None:
        self._sessions = self._counter("sessions_created_total", "Sessions that were created, by tenant.", "tenant")
        self._messages = self._counter(
            "messages_processed_total", "Turns that have ended, by tenant and status.", "tenant", "status"
        )
        self._message_seconds = self._histogram(
            "message_processing_seconds", "From a message's acceptance to the end of its turn.", _LONG
        )
        self._task_seconds = self._histogram(
            "task_processing_seconds", "How long a claimed task was in hand, however it ended.", _LONG
        )
        self._first_token = self._histogram(
            "first_token_seconds", "From a message's acceptance to the first piece of its answer, of first attempts.",
            _QUICK,
        )  # fmt: skip
        self._fenced = self._counter("fenced_writes_total", "Attempts that ended because another worker has the task.")
        self._nearly = self._counter(
            "quota_nearly_reached_total", "Tenants that came to use 80% of a quota, by its name.", "quota"
        )
        self._dropped = self._counter(
            "records_dropped_total", "Records dropped because a list was full, or they were none, by kind.", "kind"
        )
        self._depth = self._gauge(
            "queue_depth",
            "Tasks that were accepted and are not done, wherever they stand; of the whole service.",
            "tenant",
        )
        self._queue_lag = self._gauge(
            "queue_lag_seconds",
            "How long the first task that waits in a tenant's lanes has been there; `other`: the longest of the rest.",
            "tenant",
        )
        self._active = self._gauge(
            "sessions_active", "Sessions that were used before idleness pauses them; of the whole service.", "tenant"
        )

    def _make_calls(self) -> None:
        self._calls = self._counter(
            "service_call_total", "Tries of calls to downstream services, by service and operation.",
            "service", "operation",
        )  # fmt: skip
        self._call_seconds = self._histogram(
            "service_call_seconds", "How long a try took, a stream to its end, by service and operation.", _LONG,
            "service", "operation",
        )  # fmt: skip
        self._call_failures = self._counter(
            "service_call_failures_total", "Tries that failed, by service, operation and error code.",
            "service", "operation", "code",
        )  # fmt: skip
        self._retries = self._counter("retries_total", "Tries that were not the first, by service.", "service")
        self._delegation_cancels = self._counter(
            "delegation_cancels_total",
            "Services that were told that a task has ended before they have, by outcome (`told`, `failed`).",
            "service", "outcome",
        )  # fmt: skip
        self._refused_calls = self._counter(
            "service_call_refused_total",
            "Calls that were not made, by service and reason (`breaker`, `callee`, `bulkhead`, `deadline`).",
            "service", "reason",
        )  # fmt: skip
        self._dropped_replies = self._counter(
            "replies_dropped_total", "Replies from queues whose caller no longer waited."
        )
        self._breakers = self._gauge(
            "breaker_state",
            "Whether a service is called: 0 it is (closed), 1 it is probed (half-open), 2 it is left alone (open).",
            "service",
        )  # fmt: skip
        self._opened = self._counter("circuit_opened_total", "How often a service began to be left alone.", "service")
        self._callees_opened = self._counter(
            "callee_circuit_opened_total",
            "How often one agent, tool or tenant of a service began to be left alone, by service.", "service",
        )  # fmt: skip
        self._callees_open = self._gauge(
            "callee_breakers_open", "Agents, tools and tenants of a service that are left alone or probed.", "service"
        )
        self._passed_over = self._counter(
            "messages_passed_over_total", "Messages and tokens of unknown kinds in answers, by service.", "service"
        )
        self._in_flight = self._gauge("service_calls_in_flight", "Calls that are under way, by service.", "service")
        self._call_limit = self._gauge(
            "service_call_limit", "Calls that a service gets at once, as it is now.", "service"
        )
        self._tokens = self._counter(
            "tokens_total", "Tokens spent through the gateway, by tenant and kind (`prompt`, `completion`).",
            "tenant", "kind",
        )  # fmt: skip
        self._gateway_calls = self._counter(
            "gateway_calls_total",
            "Calls of the gateway, by kind and what the cache had (`hit`, `miss`; `bypass`: it was not asked).",
            "kind", "cache",
        )  # fmt: skip
        self._doubts = self._counter(
            "gateway_doubts_total", "Calls of the gateway that ended with their usage unknown."
        )
        self._given_up = self._counter(
            "gateway_given_up_tokens_total",
            "Tokens reserved for calls of the gateway whose usage stayed unknown, by tenant.",
            "tenant",
        )  # fmt: skip

    # Doors

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request; `route` is its rule, never its path."""
        key = (method if method in _METHODS else OTHER, route, status)
        found = self._http.get(key)
        if found is None:
            found = self._requests.labels(*key), self._durations.labels(route)
            self._http[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def watch_sockets(self, count: Callable[[], int]) -> None:
        """Count the open sockets at each scrape."""
        self._sockets.set_function(count)

    def rate_limited(self, door: str, code: str) -> None:
        """Count a refusal because of a limit."""
        self._limited.labels(door, code).inc()

    def audited(self, outcome: str, count: int) -> None:
        """Count entries of the audit trail."""
        self._audited.labels(outcome).inc(count)

    def loop_failed(self, loop: str) -> None:
        """Count a background loop that was run again after an outage."""
        self._loop_failures.labels(loop).inc()

    def unreadable(self, source: str) -> None:
        """Count an input that was dropped because it can't be read."""
        self._unreadable.labels(source).inc()

    def loop_lag(self, seconds: float) -> None:
        """Note how late the event loop is."""
        self._lag.observe(seconds)

    # Work

    def session_created(self, tenant_id: str) -> None:
        """Count a new session."""
        self._sessions.labels(self._labels.of(tenant_id)).inc()

    def message_processed(self, tenant_id: str, status: str, seconds: float | None) -> None:
        """Count a turn that has ended; `seconds` since it was accepted, where that is known."""
        self._messages.labels(self._labels.of(tenant_id), status).inc()
        if seconds is not None:
            self._message_seconds.observe(seconds)

    def task_processed(self, seconds: float) -> None:
        """Note how long a task was in hand."""
        self._task_seconds.observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Note how long a message waited for the first piece of its answer."""
        self._first_token.observe(seconds)

    def fenced(self) -> None:
        """Count an attempt that another worker has taken over."""
        self._fenced.inc()

    def quota_nearly_reached(self, name: str) -> None:
        """Count a tenant that uses 80% of a quota."""
        self._nearly.labels(name).inc()

    def records_dropped(self, kind: str, count: int) -> None:
        """Count what was dropped because a list was full."""
        self._dropped.labels(kind).inc(count)

    def queue_depths(self, depths: Mapping[str, int]) -> None:
        """Set the depths of all tenants' queues; the deepest ones are shown by name."""
        self._show(self._depth, depths, sum)

    def queue_lags(self, seconds: Mapping[str, float]) -> None:
        """Set how long the first waiting tasks of all tenants have waited; the longest waits are shown by name."""
        self._show(self._queue_lag, seconds, lambda rest: max(rest, default=0))

    def active_sessions(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of sessions in use of all tenants; the largest are shown by name."""
        self._show(self._active, counts, sum)

    # Calls

    def call(self, service: str, operation: str, seconds: float, failure: str | None) -> None:
        """Count one try of a call; `failure` is its error code, None where it went well."""
        self._calls.labels(service, operation).inc()
        self._call_seconds.labels(service, operation).observe(seconds)
        if failure is not None:
            self._call_failures.labels(service, operation, failure).inc()

    def retry(self, service: str) -> None:
        """Count a try that is not the first."""
        self._retries.labels(service).inc()

    def delegation_cancelled(self, service: str, *, told: bool) -> None:
        """Count a cancel that was to be passed on to a service, and whether it could be."""
        self._delegation_cancels.labels(service, "told" if told else "failed").inc()

    def call_refused(self, service: str, reason: str) -> None:
        """Count a call that was not made."""
        self._refused_calls.labels(service, reason).inc()

    def reply_dropped(self) -> None:
        """Count a reply whose caller no longer waits."""
        self._dropped_replies.inc()

    def breaker(self, service: str, state: str) -> None:
        """Note the state of a service's breaker: `closed`, `half_open` or `open`."""
        self._breakers.labels(service).set(_BREAKER_STATES.index(state))
        if state == "open":
            self._opened.labels(service).inc()

    def callee_breaker(self, service: str, state: str) -> None:
        """Count the breakers of single agents, tools and tenants that open."""
        if state == "open":
            self._callees_opened.labels(service).inc()

    def messages_passed_over(self, service: str, count: int) -> None:
        """Count messages of unknown kinds in an answer."""
        self._passed_over.labels(service).inc(count)

    def watch_callees(self, service: str, count: Callable[[], int]) -> None:
        """Count a service's callees that are left alone at each scrape."""
        self._callees_open.labels(service).set_function(count)

    def watch_bulkhead(self, service: str, in_flight: Callable[[], int], limit: Callable[[], int]) -> None:
        """Count a service's calls and their limit at each scrape."""
        self._in_flight.labels(service).set_function(in_flight)
        self._call_limit.labels(service).set_function(limit)

    def tokens(self, tenant_id: str, *, prompt: int, completion: int) -> None:
        """Count tokens."""
        label = self._labels.of(tenant_id)
        self._tokens.labels(label, "prompt").inc(prompt)
        self._tokens.labels(label, "completion").inc(completion)

    def gateway_call(self, kind: str, cache: str) -> None:
        """Count a call of the gateway; `cache` says `hit`, `miss` or `bypass`."""
        self._gateway_calls.labels(kind, cache).inc()

    def gateway_in_doubt(self) -> None:
        """Count a call whose outcome is not known."""
        self._doubts.inc()

    def gateway_given_up(self, tenant_id: str, tokens: int) -> None:
        """Count what was reserved for a call whose outcome stays unknown."""
        self._given_up.labels(self._labels.of(tenant_id)).inc(tokens)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Write all figures in the format that an `Accept` header asks for; returns them and their media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _retire(self, tenant_id: str) -> None:
        for counter in (self._sessions, self._messages, self._tokens, self._given_up):
            counter.remove_by_labels({"tenant": tenant_id})

    def _show(self, gauge: Gauge, figures: Mapping[str, float], rest: Callable[[list[float]], float]) -> None:
        """Set the largest figures under their tenants' names, and what `rest` makes of the others."""
        shown = nlargest(self._tenants, (tenant for tenant in figures if figures[tenant]), key=figures.__getitem__)
        gauge.clear()
        for tenant_id in shown:
            gauge.labels(tenant_id).set(figures[tenant_id])
        gauge.labels(OTHER).set(rest([figure for tenant_id, figure in figures.items() if tenant_id not in {*shown}]))

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, labels, namespace=NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, says, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets)
