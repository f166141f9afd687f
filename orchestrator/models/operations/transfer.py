"""A tenant's queued work, on its way to another place."""

from enum import StrEnum
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id


class TransferKind(StrEnum):
    """What an item is."""

    SESSION = "session"
    TASK = "task"


@frozen
class TransferItem:
    """A session that tasks belong to, or a task that has not ended."""

    kind: TransferKind
    id: Id
    fields: Annotated[dict[str, str], Meta(description="Its record.")]
    due_ms: Annotated[int | None, Meta(ge=0, description="When a delayed task is due, in ms since the Unix epoch.")] = (
        None
    )


@frozen
class TransferItems:
    """What `tenant.import` takes: all of it is good, or nothing is taken."""

    items: Annotated[list[TransferItem], Meta(min_length=1, max_length=1000)]
    check_only: Annotated[bool, Meta(description="Only say whether all of it is good.")] = False


@frozen
class Imported:
    """What an import has done."""

    imported: Annotated[int, Meta(description="Tasks that were taken in.")]
    skipped: Annotated[int, Meta(description="Tasks that were there already.")]
    sessions: Annotated[int, Meta(description="Sessions that were created.")]
