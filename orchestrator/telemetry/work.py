"""Figures of the work: sessions, turns, tasks and queues."""

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.telemetry.figures import AGENTS, LONG, QUICK, TENANT, TENANTS, Figures

_LIVES: Final = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0, 2_592_000.0)
_ROLE: Final = "user"
"""Whose messages have turns."""
_QUEUE: Final = "tasks"
"""The queue of a tenant, with all its lanes."""


class WorkMetrics(Figures):
    """Counts what is done."""

    def __init__(self, *, tenants: int = TENANTS, agents: int = AGENTS) -> None:
        super().__init__(tenants=tenants, agents=agents)
        self._sessions = self.counter(
            "sessions_created_total", "Sessions that were created, by tenant and agent.", TENANT, "agent_id"
        )
        self._completed = self.counter(
            "sessions_completed_total",
            "Sessions that have ended, by tenant, agent and state (`terminated`, `archived`, `failed`).",
            TENANT, "agent_id", "status",
        )  # fmt: skip
        self._session_seconds = self.histogram(
            "session_duration_seconds", "From a session's creation to its end, by tenant and agent.", _LIVES,
            TENANT, "agent_id",
        )  # fmt: skip
        self._messages = self.counter(
            "messages_processed_total",
            "Turns that have ended, by tenant, status and role (`user`: who asked).",
            TENANT,
            "status",
            "role",
        )
        self._message_seconds = self.histogram(
            "message_processing_seconds",
            "From a message's acceptance to the end of its turn, by tenant and role.",
            LONG,
            TENANT,
            "role",
        )
        self._task_seconds = self.histogram(
            "task_processing_seconds",
            "How long a claimed task was in hand, however it ended, by tenant and type.",
            LONG,
            TENANT,
            "task_type",
        )
        self._first_token = self.histogram(
            "first_token_seconds", "From a message's acceptance to the first piece of its answer, of first attempts.",
            QUICK,
        )  # fmt: skip
        self._fenced = self.counter("fenced_writes_total", "Attempts that ended because another worker has the task.")
        self._nearly = self.counter(
            "quota_nearly_reached_total", "Tenants that came to use 80% of a quota, by its name.", "quota"
        )
        self._dropped = self.counter(
            "records_dropped_total", "Records dropped because a list was full, or they were none, by kind.", "kind"
        )
        self._depth = self.gauge(
            "queue_depth",
            "Tasks that were accepted and are not done, wherever they stand; of the whole service.",
            TENANT,
            "queue",
        )
        self._queue_lag = self.gauge(
            "queue_lag_seconds",
            "How long the first task that waits in a tenant's lanes has been there; `other`: the longest of the rest.",
            TENANT,
            "queue",
        )
        self._active = self.gauge(
            "sessions_active", "Sessions that were used before idleness pauses them; of the whole service.", TENANT
        )

        self._in_hand = self.gauge("tasks_in_hand", "Tasks that the process runs.")
        self._limit = self.gauge(
            "task_limit", "Tasks that the process runs at once, as it is now: fewer while its event loop is busy."
        )
        self._busy = self.gauge(
            "event_loop_busy_ratio", "Share of its time that the event loop works, 0 to 1, looked at while tasks run."
        )
        self.by_tenant += [
            self._sessions,
            self._completed,
            self._session_seconds,
            self._messages,
            self._message_seconds,
        ]
        self.by_agent += [self._sessions, self._completed, self._session_seconds]
        self.by_call.append(self._task_seconds)

    def watch_slots(self, in_hand: Callable[[], float], limit: Callable[[], float], busy: Callable[[], float]) -> None:
        """Ask at each scrape for the tasks in hand, their limit, and how busy the event loop is."""
        for gauge, read in ((self._in_hand, in_hand), (self._limit, limit), (self._busy, busy)):
            gauge.labels().set_function(read)

    def session_created(self, tenant_id: str, agent_id: str) -> None:
        """Count a new session."""
        self._sessions.labels(*self.tenant_and_agent(tenant_id, agent_id)).inc()

    def session_completed(self, tenant_id: str, agent_id: str, status: str, seconds: float) -> None:
        """Count a session that has ended.

        Args:
            tenant_id: whose it was.
            agent_id: who answered last.
            status: its last state, in small letters.
            seconds: how long it has lived.
        """
        labels = self.tenant_and_agent(tenant_id, agent_id)
        self._completed.labels(*labels, status).inc()
        self._session_seconds.labels(*labels).observe(seconds)

    def message_processed(self, tenant_id: str, status: str, seconds: float | None) -> None:
        """Count a turn that has ended; `seconds` since it was accepted, where that is known."""
        tenant = self.tenant(tenant_id)
        self._messages.labels(tenant, status, _ROLE).inc()
        if seconds is not None:
            self._message_seconds.labels(tenant, _ROLE).observe(seconds)

    def task_processed(self, tenant_id: str, task_type: str, seconds: float) -> None:
        """Note how long a task was in hand.

        Args:
            tenant_id: whose it is.
            task_type: its kind, one of those that are known.
            seconds: from its claim on.
        """
        self._task_seconds.labels(self.call_tenant(tenant_id), task_type).observe(seconds)

    def first_token(self, seconds: float) -> None:
        """Note how long a message waited for the first piece of its answer."""
        self._first_token.labels().observe(seconds)

    def fenced(self) -> None:
        """Count an attempt that another worker has taken over."""
        self._fenced.labels().inc()

    def quota_nearly_reached(self, name: str) -> None:
        """Count a tenant that uses 80% of a quota."""
        self._nearly.labels(name).inc()

    def records_dropped(self, kind: str, count: int) -> None:
        """Count what was dropped because a list was full."""
        self._dropped.labels(kind).inc(count)

    def queue_depths(self, depths: Mapping[str, int]) -> None:
        """Set the depths of all tenants' queues; the deepest ones are shown by name."""
        self.show(self._depth, depths, sum, _QUEUE)

    def queue_lags(self, seconds: Mapping[str, float]) -> None:
        """Set how long the first waiting tasks of all tenants have waited; the longest waits are shown by name."""
        self.show(self._queue_lag, seconds, lambda rest: max(rest, default=0), _QUEUE)

    def active_sessions(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of sessions in use of all tenants; the largest are shown by name."""
        self.show(self._active, counts, sum)
