"""Doing tasks again: dead letters, and any task that has ended."""

from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp

EntryId = Annotated[str, Meta(pattern=r"^\d{1,19}-\d{1,19}$", description="The id of a dead letter.")]
Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]


@frozen
class ReplayRequest:
    """What `task.replay` takes."""

    changes: Annotated[
        dict[str, Any],
        Meta(description="New values by path: `payload.…`, `priority`, `metadata.timeout_ms`."),
    ] = field(factory=dict)
    from_call: Annotated[
        str | None,
        Meta(min_length=1, max_length=200, description="What was done before this call is not done again."),
    ] = None
    dry_run: Annotated[bool, Meta(description="Only say what would be done.")] = False


@frozen
class Replayed:
    """A task that does another one again."""

    replay_of: Id
    dry_run: bool
    input: Annotated[dict[str, Any], Meta(description="The payload of the new task.")]
    priority: int
    reused: Annotated[list[str], Meta(description="Calls whose results are taken over.")]
    task_id: Annotated[Id | None, Meta(description="Null in a dry run.")] = None
    message_id: Id | None = None
    session_id: Id | None = None


@frozen
class DeadLetter:
    """Something that could not be done."""

    id: EntryId
    task_id: Annotated[str, Meta(description="Empty where the entry named none.")]
    error: ErrorBody
    attempts: int
    at: Timestamp
    type: str | None = None
    session_id: Id | None = None
    user_id: Annotated[str | None, Meta(description="Whose task it was, where its record is still there.")] = None
    replayed_as: Annotated[Id | None, Meta(description="The task that did it again last.")] = None
    message: Annotated[str | None, Meta(description="What was no task: the beginning of its text.")] = None
    input: Annotated[dict[str, Any] | None, Meta(description="What was asked, where one dead letter is asked for.")] = (
        None
    )


@frozen
class DeadLetterChoice:
    """Which dead letters: those that meet all that is given."""

    ids: Annotated[list[EntryId] | None, Meta(min_length=1, max_length=1000)] = None
    error_code: Annotated[str | None, Meta(min_length=1, max_length=40)] = None
    older_than: Annotated[Seconds | None, Meta(description="Only those of at least this age, in seconds.")] = None


@frozen
class DeadLetterReplay(DeadLetterChoice):
    """What `dlq.replay` takes."""

    rate: Annotated[float | None, Meta(ge=0.01, le=10_000, description="At most so many a second.")] = None
    dry_run: Annotated[bool, Meta(description="Only say what would be done.")] = False
    again: Annotated[bool, Meta(description="Replay also those that were replayed before.")] = False


@frozen
class DeadLetterOutcome:
    """What became of a dead letter that was to be replayed."""

    id: EntryId
    replay_of: str
    task_id: Id | None = None
    refusal: ErrorBody | None = None
    replayed_before: Annotated[
        bool, Meta(description="Whether an earlier request has replayed it; `task_id` is what that made.")
    ] = False


@frozen
class DeadLettersReplayed:
    """What a request has replayed; there may be more where `more` says so."""

    items: list[DeadLetterOutcome]
    replayed: Annotated[int, Meta(description="How many new tasks there are.")]
    refused: int
    more: Annotated[bool, Meta(description="Whether the same request would find more.")]
    dry_run: bool = False


@frozen
class DeadLettersPurged:
    """How many dead letters are gone."""

    purged: int
