"""Tickets for event streams: of clients that can't send a header with a request, as for WebSockets."""

from typing import Annotated, Any

from attrs import frozen
from msgspec import Meta

from orchestrator.errors import Unauthorized

_Ticket = Annotated[str, Meta(max_length=128, description="Instead of a token, for a stream of its session.")]


@frozen
class StreamQuery:
    """Query parameters of a route that may answer with a stream."""

    ticket: _Ticket | None = None


def check_subject(subject_id: str, followed_id: str, body: Any) -> None:
    """Refuse a request by ticket for anything but a stream in the session that the ticket is of.

    Args:
        subject_id: what the ticket is of.
        followed_id: the id in the path, where the route does nothing but follow it; else empty.
        body: what is asked for.

    Raises:
        Unauthorized: it is something else.
    """
    if followed_id == subject_id:
        return
    if getattr(body, "session_id", None) != subject_id:
        raise Unauthorized("The ticket is unknown, used or too old; ask for a new one.")
    if getattr(body, "mode", None) != "stream":
        raise Unauthorized("A ticket opens streams alone; send a token in the header 'Authorization: Bearer …'.")
