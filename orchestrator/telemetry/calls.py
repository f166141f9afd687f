"""Figures of calls to services, and of the gateway."""

from collections.abc import Callable
from typing import Final

from orchestrator.telemetry.figures import AGENTS, LONG, TENANT, TENANTS, Figures

_BREAKER_STATES: Final = ("closed", "half_open", "open")


class CallMetrics(Figures):
    """Counts calls to services."""

    def __init__(self, *, tenants: int = TENANTS, agents: int = AGENTS) -> None:
        super().__init__(tenants=tenants, agents=agents)
        self._calls = self.counter(
            "service_call_total", "Tries of calls to downstream services, by tenant, service and operation.",
            TENANT, "service", "operation",
        )  # fmt: skip
        self._call_seconds = self.histogram(
            "service_call_seconds", "How long a try took, a stream to its end, by tenant, service and operation.",
            LONG, TENANT, "service", "operation",
        )  # fmt: skip
        self._call_failures = self.counter(
            "service_call_failures_total", "Tries that failed, by tenant, service, operation and error code.",
            TENANT, "service", "operation", "code|error_code",
        )  # fmt: skip
        self._retries = self.counter("retries_total", "Tries that were not the first, by service.", "service")
        self._delegation_cancels = self.counter(
            "delegation_cancels_total",
            "Services that were told that a task has ended before they have, by outcome (`told`, `failed`).",
            "service", "outcome",
        )  # fmt: skip
        self._refused_calls = self.counter(
            "service_call_refused_total",
            "Calls that were not made, by service and reason (`breaker`, `callee`, `bulkhead`, `deadline`).",
            "service", "reason",
        )  # fmt: skip
        self._dropped_replies = self.counter(
            "replies_dropped_total", "Replies from queues whose caller no longer waited."
        )
        self._breakers = self.gauge(
            "breaker_state",
            "Whether a service is called: 0 it is (closed), 1 it is probed (half-open), 2 it is left alone (open).",
            "service",
        )  # fmt: skip
        self._opened = self.counter("circuit_opened_total", "How often a service began to be left alone.", "service")
        self._callees_opened = self.counter(
            "callee_circuit_opened_total",
            "How often one agent, tool or tenant of a service began to be left alone, by service.", "service",
        )  # fmt: skip
        self._callees_open = self.gauge(
            "callee_breakers_open", "Agents, tools and tenants of a service that are left alone or probed.", "service"
        )
        self._passed_over = self.counter(
            "messages_passed_over_total", "Messages and tokens of unknown kinds in answers, by service.", "service"
        )
        self._missing = self.counter(
            "messages_missing_total",
            "Messages of streamed answers that did not come, by the numbers of those that did, by service.", "service",
        )  # fmt: skip
        self._in_flight = self.gauge("service_calls_in_flight", "Calls that are under way, by service.", "service")
        self._call_limit = self.gauge(
            "service_call_limit", "Calls that a service gets at once, as it is now.", "service"
        )
        self._tokens = self.counter(
            "tokens_total", "Tokens spent through the gateway, by tenant, agent and kind (`prompt`, `completion`).",
            TENANT, "agent_id", "kind|type",
        )  # fmt: skip
        self._gateway_calls = self.counter(
            "gateway_calls_total",
            "Calls of the gateway, by kind and what the cache had (`hit`, `miss`; `bypass`: it was not asked).",
            "kind", "cache",
        )  # fmt: skip
        self._doubts = self.counter("gateway_doubts_total", "Calls of the gateway that ended with their usage unknown.")
        self._given_up = self.counter(
            "gateway_given_up_tokens_total",
            "Tokens reserved for calls of the gateway whose usage stayed unknown, by tenant.",
            TENANT,
        )  # fmt: skip

        self.by_tenant += [self._tokens, self._given_up]
        self.by_agent.append(self._tokens)
        self.by_call += [self._calls, self._call_seconds, self._call_failures]

    def call(self, tenant_id: str, service: str, operation: str, seconds: float, failure: str | None) -> None:
        """Count one try of a call; `failure` is its error code, None where it went well."""
        tenant = self.call_tenant(tenant_id)
        self._calls.labels(tenant, service, operation).inc()
        self._call_seconds.labels(tenant, service, operation).observe(seconds)
        if failure is not None:
            self._call_failures.labels(tenant, service, operation, failure).inc()

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
        self._dropped_replies.labels().inc()

    def breaker(self, service: str, state: str) -> None:
        """Note the state of a service's breaker: `closed`, `half_open` or `open`."""
        self._breakers.labels(service).set(_BREAKER_STATES.index(state))
        if state == "open":
            self._opened.labels(service).inc()

    def callee_breaker(self, service: str, state: str) -> None:
        """Count the breakers of single agents, tools and tenants that open."""
        if state == "open":
            self._callees_opened.labels(service).inc()

    def messages_missing(self, service: str, count: int) -> None:
        """Count messages of a streamed answer that did not come."""
        self._missing.labels(service).inc(count)

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

    def tokens(self, tenant_id: str, agent_id: str, *, prompt: int, completion: int) -> None:
        """Count tokens; `agent_id` is empty where they were spent for no agent."""
        labels = self.tenant_and_agent(tenant_id, agent_id) if agent_id else (self.tenant(tenant_id), "")
        self._tokens.labels(*labels, "prompt").inc(prompt)
        self._tokens.labels(*labels, "completion").inc(completion)

    def gateway_call(self, kind: str, cache: str) -> None:
        """Count a call of the gateway; `cache` says `hit`, `miss` or `bypass`."""
        self._gateway_calls.labels(kind, cache).inc()

    def gateway_in_doubt(self) -> None:
        """Count a call whose outcome is not known."""
        self._doubts.labels().inc()

    def gateway_given_up(self, tenant_id: str, tokens: int) -> None:
        """Count what was reserved for a call whose outcome stays unknown."""
        self._given_up.labels(self.tenant(tenant_id)).inc(tokens)
