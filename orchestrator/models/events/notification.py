"""Notifications: what people should know, sent by services, kept until it expires, acknowledged by who has read it."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp

EXPIRES_SECONDS = 7 * 86_400
LONGEST_SECONDS = 30 * 86_400
MOST_USERS = 1000


class NotificationLevel(StrEnum):
    """How much it matters."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


@frozen
class NotificationSend:
    """What `notification.send` takes."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    message: Annotated[str, Meta(min_length=1, max_length=4000)]
    level: NotificationLevel = NotificationLevel.INFO
    user_ids: Annotated[
        list[Id] | None,
        Meta(min_length=1, max_length=MOST_USERS, description="To whom; null: to every user of the tenant."),
    ] = None
    data: Annotated[
        dict[str, Any],
        Meta(
            description="Free fields for the client; at most 16 KiB as JSON. A body that has them needs its envelope."
        ),
    ] = field(factory=dict)
    expires_in_seconds: Annotated[int, Meta(ge=1, le=LONGEST_SECONDS, description="How long it is kept.")] = (
        EXPIRES_SECONDS
    )


@frozen
class NotificationSent:
    """A notification that is kept, and has been told to whom it is for."""

    notification_id: Id
    expires_at: Timestamp
    users: Annotated[int | None, Meta(description="To how many users; null: to all of the tenant.")] = None


@frozen
class Notification:
    """A notification as its reader sees it."""

    notification_id: Id
    title: str
    message: str
    level: NotificationLevel
    created_at: Timestamp
    expires_at: Timestamp
    data: dict[str, Any] = field(factory=dict)
    acknowledged_at: Annotated[Timestamp | None, Meta(description="When its reader acknowledged it.")] = None


@frozen
class NotificationSummary:
    """What waits for a reader: first frame of the notifications' socket, and again after events were lost."""

    unacknowledged: Annotated[int, Meta(ge=0, description="How many there are in all.")]
    items: Annotated[list[Notification], Meta(description="The newest of them, the newest first.")]
    recovered: Annotated[bool, Meta(description="False where missed events could not be sent again.")] = True


@frozen
class NotificationAcknowledged:
    """A reader has acknowledged a notification, on this socket's device or on another."""

    notification_id: Id
    acknowledged_at: Timestamp
