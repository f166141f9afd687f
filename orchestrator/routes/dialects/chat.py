"""Documented names of chat: `chat_message_id`, `target_message_id`, `messages`, moments and pages of the history."""

from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.dialects.contents import with_media_type
from orchestrator.dialects.moments import in_utc
from orchestrator.models.common.ids import Id, is_id
from orchestrator.models.common.timestamps import moment_fault
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.routes.dialects.pages import PageNames, add_pages, read_pages
from orchestrator.routes.dialects.reading import parameter_fault
from orchestrator.routes.dialects.record import Answered, Fields, Query, RouteDialect

_MOMENTS: Final = {"before": "until", "after": "since"}
"""The service's own name where the value is a moment."""
_PLACES: Final = frozenset({"offset", "before", "after", "since", "until"})


@frozen
class AcceptedNames:
    """What is told of a message that was taken under documented names; a finished answer has none of them."""

    chat_message_id: Annotated[Id, Meta(description="Another name for `message_id`.")]
    workflow_id: Annotated[Id, Meta(description="The run that answers it: its task.")]
    estimated_time_seconds: Annotated[float | None, Meta(description="Not known: null.")]


@frozen
class CancelNames:
    """What `chat.cancel` takes under documented names."""

    chat_message_id: Annotated[Id | None, Meta(description="Another name for `message_id`.")] = None
    target_message_id: Annotated[Id | None, Meta(description="Another name for `message_id`.")] = None


@frozen
class CancelledNames:
    """What is told of a cancelled message under documented names."""

    target_message_id: Annotated[Id, Meta(description="Another name for `message_id`.")]


@frozen
class HistoryNames:
    """What is told of a conversation under documented names."""

    session_id: Annotated[Id, Meta(description="Whose conversation.")]
    messages: Annotated[list[HistoryMessage], Meta(description="The same list as `items`.")]


def _read_message(fields: Fields, path: str) -> Fields:
    """Take a kind of content for the media type that it stands for."""
    del path
    return with_media_type(fields)


def _add_accepted(data: Fields, _: Answered) -> None:
    # With `mode: wait` the answer may be the finished one, which is no acceptance.
    if "task_id" in data:
        data["chat_message_id"] = data["message_id"]
        data["workflow_id"] = data["task_id"]
        data["estimated_time_seconds"] = None


def _add_cancelled(data: Fields, _: Answered) -> None:
    data["target_message_id"] = data["message_id"]


def _add_messages(page: Fields, answered: Answered) -> None:
    page["session_id"] = answered.id
    page["messages"] = page["items"]


def _read_history(query: Query) -> Query:
    """Take `before` and `after` for moments where they are, and pages for offsets."""
    own = read_pages(query, _PLACES)
    for alias, name in _MOMENTS.items():
        # An id has no colon, and every moment has one.
        value = own.get(alias)
        if value is None or is_id(value) or moment_fault(moment := in_utc(value)) is not None:
            continue
        if name in own:
            raise parameter_fault(alias, f"is a moment, and '{name}' is given too")
        own = {each: said for each, said in own.items() if each != alias} | {name: moment}
    return own


CHAT: Final = {
    "chat.message": RouteDialect(read_body=_read_message, answer=_add_accepted, tells=AcceptedNames),
    "chat.cancel": RouteDialect(
        body={"chat_message_id": "message_id", "target_message_id": "message_id"},
        asks=CancelNames,
        answer=_add_cancelled,
        tells=CancelledNames,
    ),
    "chat.history": RouteDialect(
        read_query=_read_history,
        asks_query=PageNames,
        answer=_add_messages,
        tells_page=HistoryNames,
        pages=add_pages,
    ),
}
"""By route."""
