"""Documented names of sessions: `status` beside their state, `initial_context`, `session_ttl`."""

from enum import StrEnum
from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.dialects.sessions import FILTERS, STATUSES
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.sessions.session import SessionMove, SessionState
from orchestrator.routes.dialects.pages import PageNames, add_pages, read_pages
from orchestrator.routes.dialects.reading import field_fault, one_of, parameter_fault
from orchestrator.routes.dialects.record import Answered, Fields, Query, RouteDialect

MOVES: Final = {
    "paused": SessionMove.PAUSE,
    "inactive": SessionMove.PAUSE,
    "active": SessionMove.RESUME,
    "closed": SessionMove.CLOSE,
}
"""What a status that a client sets does to the session."""
_PLACES: Final = frozenset({"offset", "cursor"})
_CREATE: Final = {"initial_context": "context", "session_ttl": "ttl_seconds"}
_UPDATE: Final = {"session_ttl": "ttl_seconds"}


class SessionStatus(StrEnum):
    """What a session's state is to a client of the guide for frontends."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    CLOSED = "closed"


_Context = Annotated[dict[str, Any] | None, Meta(description="Another name for `context`.")]
_Ttl = Annotated[int | None, Meta(ge=60, le=31_536_000, description="Another name for `ttl_seconds`.")]


@frozen
class CreateNames:
    """What `session.create` takes under documented names."""

    initial_context: _Context = None
    session_ttl: _Ttl = None
    tenant_id: Annotated[Id | None, Meta(description="The tenant of the credentials.")] = None


@frozen
class UpdateNames:
    """What `session.update` takes under documented names."""

    status: Annotated[
        str | None,
        Meta(pattern=f"^({'|'.join(MOVES)})$", description="Another way to say `move`."),
    ] = None
    session_ttl: _Ttl = None


@frozen
class ListNames(PageNames):
    """What `session.list` takes under documented names."""

    status: Annotated[
        str | None,
        Meta(pattern=f"^({'|'.join(FILTERS)})$", description="Only sessions in the states that this stands for."),
    ] = None


@frozen
class SessionNames:
    """What is told of a session under documented names."""

    status: Annotated[SessionStatus, Meta(description="The state, as the guide for frontends has it.")]
    messages_count: Annotated[int, Meta(description="Another name for `message_count`.")]
    last_activity: Annotated[Timestamp, Meta(description="Another name for `last_activity_at`.")]


def _read_create(fields: Fields, path: str) -> Fields:
    """Leave out the tenant, which was compared with that of the credentials when the envelope was read."""
    del path
    return {name: value for name, value in fields.items() if name != "tenant_id"}


def _read_update(fields: Fields, path: str) -> Fields:
    if fields.get("status") is None:
        return {name: value for name, value in fields.items() if name != "status"}
    if "move" in fields:
        raise field_fault(f"{path}.status", "is another name for 'move', which is given too")
    own = {name: value for name, value in fields.items() if name != "status"}
    status = fields["status"]
    if not isinstance(status, str) or status not in MOVES:
        raise field_fault(f"{path}.status", one_of([*MOVES]))
    return {**own, "move": MOVES[status].value}


def _read_list(query: Query) -> Query:
    query = read_pages(query, _PLACES)
    if "status" not in query:
        return query
    own = {name: value for name, value in query.items() if name != "status"}
    if beside := sorted(query.keys() & {"state", "states"}):
        raise parameter_fault("status", f"is another name for '{beside[0]}', which is given too")
    states = FILTERS.get(query["status"])
    if states is None:
        raise parameter_fault("status", one_of([*FILTERS]))
    return {**own, "states": ",".join(sorted(states))}


def add_names(session: Fields, _: Answered = Answered()) -> None:  # noqa: B008 - frozen
    """Add the documented names to a session."""
    session["status"] = STATUSES[SessionState(session["state"])]
    session["messages_count"] = session["message_count"]
    session["last_activity"] = session["last_activity_at"]


def _add_to_items(page: Fields, _: Answered) -> None:
    for session in page["items"]:
        add_names(session)


_ONE: Final = RouteDialect(answer=add_names, tells=SessionNames)
SESSIONS: Final = {
    "session.create": RouteDialect(
        body=_CREATE, read_body=_read_create, asks=CreateNames, answer=add_names, tells=SessionNames
    ),
    "session.get": _ONE,
    "session.list": RouteDialect(
        read_query=_read_list, asks_query=ListNames, answer=_add_to_items, tells=SessionNames, pages=add_pages
    ),
    "session.update": RouteDialect(
        body=_UPDATE, read_body=_read_update, asks=UpdateNames, answer=add_names, tells=SessionNames
    ),
    "session.pause": _ONE,
    "session.resume": _ONE,
    "session.close": _ONE,
    "agent.assign": _ONE,
}
"""By route."""
