"""Documented forms of clients' frames beside this service's own; in both dialects they are the same.

A frame is read in its documented form where it has a field that only that form has, and in this service's own
otherwise, as strictly as ever. What neither names is refused with its path.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from attrs import field, fields, frozen
from msgspec import Meta

from orchestrator.codec import structure
from orchestrator.dialects.aliases import read_aliases, retell
from orchestrator.dialects.contents import with_media_type
from orchestrator.dialects.runs import ANSWER
from orchestrator.errors import InvalidBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.events.events import ChatCancel, SessionSync, SystemPing
from orchestrator.models.plans.workflow import WorkflowCancel, WorkflowInputFrame

ACTIVE_WORKFLOWS: Final = 50
"""So many may a client ask after at once."""


@frozen
class ClientState:
    """What a client knows."""

    last_event_timestamp: Timestamp | None = None
    active_workflows: Annotated[
        list[Id] | None, Meta(max_length=ACTIVE_WORKFLOWS, description="Runs whose standing is sent, too.")
    ] = None


@frozen
class SyncByMessage:
    """Resume behind an event or a message; where none is named, or it is not known any more, by a snapshot."""

    session_id: Annotated[Id | None, Meta(description="That of the socket.")] = None
    last_message_id: Annotated[Id | None, Meta(description="The last event, question or answer that came.")] = None
    client_state: ClientState | None = None
    last_offset: Annotated[int | None, Meta(ge=0, description="Instead of a message, with `epoch`.")] = None
    epoch: str | None = None


@frozen
class ClientInfo:
    """Who asks."""

    version: Annotated[str | None, Meta(max_length=200)] = None
    platform: Annotated[str | None, Meta(max_length=200)] = None


@frozen
class PingOfClient:
    """Are you there?"""

    client_timestamp: Any = None
    client_info: ClientInfo | None = None


@frozen
class RunCancel:
    """Stop a run."""

    task_id: Annotated[
        Id | None, Meta(description="A task, a batch, an execution, or a workflow of which one run is open.")
    ] = None
    reason: Annotated[str | None, Meta(max_length=500)] = None
    notify_user: Annotated[bool | None, Meta(description="False: the session's other sockets are not told.")] = None


@frozen
class MessageCancel:
    """Stop the turn of a message."""

    message_id: Id
    session_id: Annotated[Id | None, Meta(description="The session that the message is of.")] = None
    reason: Annotated[str | None, Meta(max_length=500, description="Why; kept with the task.")] = None


@frozen
class Form:
    """A documented form of a frame."""

    own: type
    model: type
    aliases: Mapping[str, str] = field(factory=dict)
    """Names of fields, by the documented ones."""
    names: frozenset[str] = field(init=False)
    """Those that only this form has."""

    @names.default
    def _names(self) -> frozenset[str]:
        own = {attribute.name for attribute in fields(self.own)}
        return frozenset({attribute.name for attribute in fields(self.model)} - own | self.aliases.keys())


FORMS: Final[Mapping[str, Form]] = {
    "session.sync": Form(SessionSync, SyncByMessage),
    "system.ping": Form(SystemPing, PingOfClient),
    "workflow.cancel": Form(WorkflowCancel, RunCancel, {"workflow_id": "task_id"}),
    "workflow.input": Form(WorkflowInputFrame, WorkflowInputFrame, {"workflow_id": "task_id", **ANSWER}),
    "chat.cancel": Form(
        ChatCancel, MessageCancel, {"chat_message_id": "message_id", "target_message_id": "message_id"}
    ),
}
"""By the name of the frame, `domain.action`."""
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {"chat.message": with_media_type}
"""What gives documented values the service's own words, by the name of the frame."""


def read_frame(name: str, data: Any, model: type) -> Any:
    """Read the data of a frame, in whichever form it came.

    Args:
        name: the frame, `domain.action`.
        data: as it came.
        model: this service's own form.

    Raises:
        InvalidBody: with the path of each fault.
    """
    if name in _WORDS and isinstance(data, dict):
        data = _WORDS[name](data)
    form = FORMS.get(name)
    if form is None or not isinstance(data, dict) or form.names.isdisjoint(data):
        return structure(data, model, "$.data")
    try:
        return structure(read_aliases(data, form.aliases, "$.data"), form.model, "$.data")
    except InvalidBody as refused:
        retell(refused, form.aliases, data, "$.data")
        raise
