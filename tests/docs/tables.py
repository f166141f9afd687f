"""The tables of the reference pages, as the code has them. `python -m tests.docs.tables` prints them."""

from inspect import cleandoc
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from attrs import fields
from msgspec import Meta

from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.loading import origins, variable
from orchestrator.config.tenant_limits import LIMITS, TenantLimit, Tier
from orchestrator.dialects.frontend_errors import BY_DOMAIN, CODES
from orchestrator.dialects.sessions import STATUSES, TRANSITIONS
from orchestrator.domain.session_states import MOVES
from orchestrator.errors import OrchestratorError
from orchestrator.models.events.events import BATCH_EVENTS, NOTIFICATION_EVENTS, SERVER_EVENTS, WORKFLOW_EVENTS
from orchestrator.models.operations.audit import ACTIONS
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task_updates import TASK_UPDATES, TaskUpdated
from orchestrator.routes import ROUTES
from orchestrator.routes.dialects.paths import PLAIN_PATHS
from orchestrator.routes.dialects.table import DIALECTS
from orchestrator.routes.http.open_routes import OPEN_ROUTES
from orchestrator.routes.http.registry import Access
from orchestrator.telemetry.metrics import NAMESPACE, Metrics
from orchestrator.websocket.dialects.additions import ADDITIONS
from orchestrator.websocket.dialects.domain_action import ERROR, ERROR_MODEL, FRAMES
from orchestrator.websocket.handlers import HANDLERS
from orchestrator.websocket.task_updates import ANSWER
from tests.docs.filters import filters_table

NONE: Final = "–"  # noqa: RUF001 - as the pages write it


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


def additions_table() -> str:
    """The documented names that events of the default dialect have beside their own."""
    return events_table({name: addition.model for name, addition in ADDITIONS.items()})


def dialect_table() -> str:
    """What events become in the dialect `domain-action`."""
    rows = ["| event | frame | data |", "| --- | --- | --- |"]
    told = [(event, frame.name, frame.model) for event, frame in FRAMES.items()] + [(ERROR, ERROR, ERROR_MODEL)]
    for event, name, kind in told:
        names: Any = [f"`{attribute.name}`" for attribute in fields(kind)]
        rows.append(f"| `{event}` | `{name}` | {', '.join(names)} |")
    return "\n".join(rows)


def names_table() -> str:
    """The documented names of the API, by place and routes."""
    routes: dict[tuple[str, str, str], list[str]] = {}
    for route, dialect in sorted(DIALECTS.items()):
        places = (
            ("query", dialect.asks_query),
            ("body", dialect.asks),
            ("answer", dialect.tells),
            ("page", dialect.tells_page),
        )
        for place, model in places:
            hints = {} if model is None else get_type_hints(model, include_extras=True)
            for name, hint in hints.items():
                routes.setdefault((place, name, _words(hint)), []).append(f"`{route}`")
    rows = ["| name | place | routes | what it stands for |", "| --- | --- | --- | --- |"]
    for (place, name, words), found in sorted(routes.items(), key=lambda row: (row[1][0], row[0])):
        rows.append(f"| `{name}` | {place} | {', '.join(found)} | {words} |")
    return "\n".join(rows)


def paths_table() -> str:
    """The plain paths, each with the route that it stands for."""
    rows = ["| path | route |", "| --- | --- |"]
    rows += [f"| `{plain.method} {plain.path}` | `{plain.route}` |" for plain in PLAIN_PATHS]
    return "\n".join(rows)


def codes_table() -> str:
    """The codes of the guide for frontends, with the service's own."""
    rows = ["| code | in `data.code` | where |", "| --- | --- | --- |"]
    rows += [f"| `{code}` | `{told}` | anywhere |" for code, told in CODES.items()]
    for domain, codes in BY_DOMAIN.items():
        rows += [f"| `{code}` | `{told}` | {domain} |" for code, told in codes.items()]
    return "\n".join(rows)


def _words(hint: Any) -> str:
    notes = [note.description for note in get_args(hint)[1:] if isinstance(note, Meta) and note.description]
    model = get_args(hint)[0] if get_origin(hint) in {Union, UnionType} else hint
    return str(notes[-1]) if notes else cleandoc(model.__doc__ or "").split("\n")[0]


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


def states_table() -> str:
    """Every state of a session: its number, what clients are told of it, and where it leads."""
    rows = ["| state | code | `status` | `event` of the move to it | may go to |", "| --- | --- | --- | --- | --- |"]
    for state, ways in MOVES.items():
        event = f"`{TRANSITIONS[state]}`" if state in TRANSITIONS else NONE
        to = ", ".join(f"`{way}`" for way in SessionState if way in ways) or NONE
        rows.append(f"| `{state}` | {state.code} | `{STATUSES[state]}` | {event} | {to} |")
    return "\n".join(rows)


def routes_table(access: Access) -> str:
    """Every route of one access, with what it takes to call it and which limit counts it."""
    rows = ["| route | needs | limit | what it does |", "| --- | --- | --- | --- |"]
    for route in ROUTES:
        if route.access is access:
            permissions = " or ".join(f"`{name}`" for name in (route.permission, *route.or_permissions) if name)
            by_token = f"or a token with `{route.holder_permission}`" if route.holder_permission else NONE
            place = f"{route.method} `{route.path}`"
            also = ", or an internal API key" if route.for_services else ""
            rows.append(f"| {place} | {permissions or by_token}{also} | {route.rate_class} | {route.summary} |")
    return "\n".join(rows)


def open_routes_table() -> str:
    """Every route that needs no credential, or none where the settings say so."""
    rows = ["| route | needs | what it shows |", "| --- | --- | --- |"]
    for path, route in OPEN_ROUTES.items():
        needed = "an API key of metrics, or a token with `telemetry:read`" if route.security else NONE
        rows.append(f"| GET `{path}` | {needed} | {route.summary} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    if value in {"", ()}:
        return NONE
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{str(value).lower()}`"


def _kinds(kind: type[OrchestratorError]) -> list[type[OrchestratorError]]:
    """Every class that is raised: those that others are only kinds of are left out."""
    narrower = [found for one in kind.__subclasses__() if one.__module__ == kind.__module__ for found in _kinds(one)]
    abstract = kind.__name__ in {"OrchestratorError", "ClientFault", "ServiceFault"}
    return narrower if abstract else [kind, *narrower]


TABLES = {
    "cli": [filters_table()],
    "settings": [settings_table()],
    "tenant-limits": [limits_table()],
    "errors": [errors_table()],
    "metrics": [metrics_table()],
    "audit": [audit_table()],
    "session-states": [states_table()],
    "routes": [*(routes_table(access) for access in Access), open_routes_table()],
    "platform-names": [names_table(), paths_table(), codes_table()],
    "events": [
        events_table(SERVER_EVENTS),
        additions_table(),
        dialect_table(),
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
