"""The tables of the reference pages, as the code has them. `python -m tests.docs.tables` prints them."""

from typing import Any

from attrs import fields

from orchestrator.clients.registry import DEFAULTS
from orchestrator.config.loading import origins, variable
from orchestrator.config.tenant_limits import LIMITS, TenantLimit, Tier
from orchestrator.errors import OrchestratorError
from orchestrator.models.events.events import BATCH_EVENTS, NOTIFICATION_EVENTS, SERVER_EVENTS, WORKFLOW_EVENTS
from orchestrator.models.operations.audit import ACTIONS
from orchestrator.models.tasks.task_updates import TASK_UPDATES, TaskUpdated
from orchestrator.telemetry.metrics import NAMESPACE, Metrics
from orchestrator.websocket.handlers import HANDLERS
from orchestrator.websocket.task_updates import ANSWER


def settings_table() -> str:
    """Every setting, its default and what it does."""
    rows = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for origin in origins(DEFAULTS, DEFAULTS, {}):
        name = f"`{variable(origin.path)}`{' (secret)' if origin.secret else ''}"
        rows.append(f"| {name} | {_default(origin.default)} | {origin.says} |")
    return "\n".join(rows)


def limits_table() -> str:
    """Every limit of tenants, the bounds of a tenant's own, and what applies to a tenant without one."""
    rows = ["| limit | unit | of its own | without | what is bounded |", "| --- | --- | --- | --- | --- |"]
    for name, row in LIMITS.items():
        bounds = f"{_number(row.least)} – {_number(row.most)}"  # noqa: RUF001 - as the pages write it
        rows.append(f"| `{name}` | {row.unit} | {bounds} | {_without(row)} | {row.says} |")
    return "\n".join(rows)


def _without(row: TenantLimit) -> str:
    if row.by_tier is not None:
        figures = " · ".join(f"{tier} {_number(getattr(row.by_tier, tier) or 'any')}" for tier in Tier)
        return f"{figures} (`ORCH_TIERS__…__{row.name.upper()}`)"
    return "unbounded" if row.setting is None else f"`{variable(row.setting)}`"


def _number(value: float | str) -> str:
    return f"{value:,.16g}" if isinstance(value, float | int) else value


def errors_table() -> str:
    """Every error, by code."""
    rows = ["| code | HTTP | type | when | retry |", "| --- | --- | --- | --- | --- |"]
    for kind in sorted(_kinds(OrchestratorError), key=lambda kind: (kind.status, kind.code, kind.__name__)):
        when = (kind.__doc__ or "").strip().split("\n")[0]
        rows.append(f"| `{kind.code}` | {kind.status} | {kind.type} | {when} | {'yes' if kind.retryable else 'no'} |")
    return "\n".join(rows)


def events_table(events: dict[str, type]) -> str:
    """Events by name, with the fields of their data."""
    rows = ["| event | what | data |", "| --- | --- | --- |"]
    for name, kind in events.items():
        when = (kind.__doc__ or "").strip().split("\n")[0]
        names: Any = [f"`{attribute.name}`" for attribute in fields(kind)]
        rows.append(f"| `{name}` | {when} | {', '.join(names)} |")
    return "\n".join(rows)


def metrics_table() -> str:
    """Every figure of our own, by name."""
    rows = ["| name | type | what |", "| --- | --- | --- |"]
    for family in Metrics().registry.collect():
        if family.name.startswith(NAMESPACE):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join(rows)


def audit_table() -> str:
    """Every audited action, its kind, and for how long its entries are kept."""
    rows = ["| action | kind | kept | what has happened |", "| --- | --- | --- | --- |"]
    for name, row in ACTIONS.items():
        rows.append(f"| `{name}` | {row.kind} | {row.kind.retention_ms // 86_400_000} days | {row.says} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if value in {"", ()}:
        return "–"  # noqa: RUF001 - as the pages write it
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{str(value).lower()}`"


def _kinds(kind: type[OrchestratorError]) -> list[type[OrchestratorError]]:
    """Every class that is raised: those that others are only kinds of are left out."""
    narrower = [found for one in kind.__subclasses__() if one.__module__ == kind.__module__ for found in _kinds(one)]
    abstract = kind.__name__ in {"OrchestratorError", "ClientFault", "ServiceFault"}
    return narrower if abstract else [kind, *narrower]


TABLES = {
    "settings": [settings_table()],
    "tenant-limits": [limits_table()],
    "errors": [errors_table()],
    "metrics": [metrics_table()],
    "audit": [audit_table()],
    "events": [
        events_table(SERVER_EVENTS),
        events_table(WORKFLOW_EVENTS),
        events_table(BATCH_EVENTS),
        events_table(NOTIFICATION_EVENTS),
        events_table({name: handler.model for name, handler in HANDLERS.items()}),
        events_table({**TASK_UPDATES, ANSWER: TaskUpdated}),
    ],
}
"""By page."""


if __name__ == "__main__":
    for page, tables in TABLES.items():
        print(f"{page}\n\n" + "\n\n".join(tables) + "\n")  # noqa: T201 - printing the tables is what this script is for
