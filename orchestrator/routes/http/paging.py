"""Query parameters of lists, and their pages as answers."""

from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import OFFSET_MAX, PAGE_LIMIT, PAGE_LIMIT_MAX
from orchestrator.errors import InvalidParameter
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import Id
from orchestrator.models.common.page import Page
from orchestrator.models.common.timestamps import moment_fault
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.routes.http.registry import RouteAnswer

Limit = Annotated[int, Meta(ge=1, le=PAGE_LIMIT_MAX, description="How many items a page has.")]
Cursor = Annotated[str, Meta(min_length=1, max_length=512, description="The `next_cursor` of the page before; opaque.")]
Since = Annotated[
    str | None,
    Meta(max_length=40, description="Only what is of this moment or later (RFC 3339).", extra={"check": moment_fault}),
]
Until = Annotated[
    str | None,
    Meta(max_length=40, description="Only what is from before this moment (RFC 3339).", extra={"check": moment_fault}),
]

Offset = Annotated[
    int | None,
    Meta(ge=0, le=OFFSET_MAX, description="How many items to leave out, from the newest; does not go with a cursor."),
]
_STATE: Final = f"({'|'.join(SessionState)})"
_STATES: Final = f"^{_STATE}(,{_STATE}){{0,{len(SessionState) - 1}}}$"


@frozen
class PageQuery:
    """What a list takes that is not filtered."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class SessionQuery:
    """What `session.list` takes."""

    state: Annotated[SessionState | None, Meta(description="Only sessions in this state.")] = None
    states: Annotated[
        str | None,
        Meta(pattern=_STATES, description="Only sessions in one of these states, with commas between them."),
    ] = None
    agent_id: Annotated[Id | None, Meta(description="Only sessions with this agent.")] = None
    user_id: Annotated[Id | None, Meta(description="Only sessions of this user.")] = None
    since: Since = None
    until: Until = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT
    offset: Offset = None

    def wanted_states(self) -> frozenset[SessionState] | None:
        """Return the states that are asked for; None: all."""
        if self.states is not None:
            return frozenset(map(SessionState, self.states.split(",")))
        return None if self.state is None else frozenset({self.state})


@frozen
class HistoryQuery:
    """What `chat.history` takes."""

    before: Annotated[Id | None, Meta(description="Only messages before this one.")] = None
    after: Annotated[Id | None, Meta(description="Only messages after this one.")] = None
    since: Since = None
    until: Until = None
    limit: Limit = PAGE_LIMIT
    offset: Offset = None


@frozen
class TaskQuery:
    """What `task.list` takes."""

    status: Annotated[TaskStatus | None, Meta(description="Only tasks in this status.")] = None
    type: Annotated[
        str | None, Meta(max_length=129, description="Only tasks of this type, such as `chat.message`.")
    ] = None
    session_id: Annotated[Id | None, Meta(description="Only tasks of this session.")] = None
    agent_id: Annotated[Id | None, Meta(description="Only tasks that this agent answers.")] = None
    user_id: Annotated[Id | None, Meta(description="Only tasks of this user.")] = None
    error_code: Annotated[str | None, Meta(max_length=40, description="Only those that failed with this code.")] = None
    since: Since = None
    until: Until = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class ScheduleQuery:
    """What `schedule.list` takes."""

    agent_id: Annotated[Id | None, Meta(description="Only schedules of this agent.")] = None
    user_id: Annotated[Id | None, Meta(description="Only schedules of this user.")] = None
    enabled: Annotated[bool | None, Meta(description="Only those that run, or those that are paused.")] = None
    since: Since = None
    until: Until = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


def checked_offset(offset: int | None, cursor: str | None) -> int | None:
    """Return the offset that a list is asked for.

    Raises:
        InvalidParameter: there is a cursor, too, which says itself where to go on.
    """
    if offset is not None and cursor is not None:
        fault = FieldFault("$.query.offset", "does not go with 'cursor'")
        raise InvalidParameter(f"{fault.path} {fault.message}.", details=[fault])
    return offset


def page_answer(page: Page[Any], limit: int, *, offset: int | None = None) -> RouteAnswer:
    """Put a page into an answer; with `offset`, its items are counted."""
    return RouteAnswer(
        {"items": page.items}, limit=limit, next_cursor=page.next_cursor, offset=offset, total=page.total
    )
