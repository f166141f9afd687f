"""Figures of the doors: HTTP, sockets, limits, and the loops beside them."""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Counter, Histogram

from orchestrator.telemetry.figures import AGENTS, QUICK, TENANT, TENANTS, Figures
from orchestrator.telemetry.tenant_labels import OTHER

UNMATCHED: Final = "unmatched"
"""The route of requests that no route takes."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class DoorMetrics(Figures):
    """Counts what comes in."""

    def __init__(self, *, tenants: int = TENANTS, agents: int = AGENTS) -> None:
        super().__init__(tenants=tenants, agents=agents)
        self._http: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._places: Callable[[], Mapping[str, int]] = dict
        self._requests = self.counter(
            "http_requests_total",
            "HTTP requests, by method, route and status; 499: the client left before the answer.",
            "method", "route|endpoint", "status",
        )  # fmt: skip
        self._durations = self.histogram(
            "http_request_duration_seconds",
            "From a request to the end of its answer, by method and route.",
            QUICK,
            "method",
            "route|endpoint",
        )
        self._sockets = self.gauge("websocket_connections_active", "Sockets that the process holds, by tenant.", TENANT)
        self._loop_failures = self.counter(
            "background_failures_total",
            "How often a background loop could not go on because of what Redis said, and was run again, by loop.",
            "loop",
        )
        self._unreadable = self.counter(
            "unreadable_input_total",
            "Messages of channels and members of shared keys that could not be read and were dropped, by source.",
            "source",
        )
        self._limited = self.counter(
            "rate_limited_total", "Refusals because of a limit, by door (`http`, `websocket`) and error code.",
            "door", "code",
        )  # fmt: skip
        self._audited = self.counter(
            "audit_entries_total",
            "Entries of the audit trail: `written`, `sampled` (counted alone), `cut` (early), `logged` (only so).",
            "outcome",
        )
        self._spans = self.counter(
            "spans_total", "Spans that were given to the collector, by outcome (`sent`, `failed`).", "outcome"
        )
        self._lag = self.histogram(
            "event_loop_lag_seconds", "How late the event loop is, looked at twice a second.", QUICK
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request; `route` is its rule, never its path."""
        key = (method if method in _METHODS else OTHER, route, status)
        found = self._http.get(key)
        if found is None:
            found = self._requests.labels(*key), self._durations.labels(key[0], route)
            self._http[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def spans(self, outcome: str, count: int) -> None:
        """Count spans that the collector has taken (`sent`) or has not (`failed`)."""
        self._spans.labels(outcome).inc(count)

    def watch_sockets(self, places: Callable[[], Mapping[str, int]]) -> None:
        """Count the open sockets of each tenant at each scrape."""
        self._places = places

    def show_sockets(self) -> None:
        """Set the numbers of open sockets; the largest are shown by tenant."""
        self.show(self._sockets, self._places(), sum)

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
        self._lag.labels().observe(seconds)
