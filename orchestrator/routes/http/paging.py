"""Query parameters of lists, and their pages as answers."""

from typing import Annotated, Any

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT, PAGE_LIMIT_MAX
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


@frozen
class PageQuery:
    """What a list takes that is not filtered."""

    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class SessionQuery:
    """What `session.list` takes."""

    state: Annotated[SessionState | None, Meta(description="Only sessions in this state.")] = None
    agent_id: Annotated[Id | None, Meta(description="Only sessions with this agent.")] = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class HistoryQuery:
    """What `chat.history` takes."""

    before: Annotated[Id | None, Meta(description="Only messages before this one.")] = None
    after: Annotated[Id | None, Meta(description="Only messages after this one.")] = None
    limit: Limit = PAGE_LIMIT


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
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


def page_answer(page: Page[Any], limit: int) -> RouteAnswer:
    """Put a page into an answer."""
    return RouteAnswer({"items": page.items}, limit=limit, next_cursor=page.next_cursor)
