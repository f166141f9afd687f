"""The envelope that every message of the service travels in, and the error object within it."""

from typing import Annotated, Any, Self

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp, moment_fault

SCHEMA_VERSION = "1.0"
SOURCE_SERVICE = "agent-orchestrator"


@frozen
class MessageType:
    """What a message is about: a domain and what is done in it, such as `chat` and `message`."""

    domain: Annotated[str, Meta(description="The domain, such as `chat`.")]
    action: Annotated[str, Meta(description="What is done in it, such as `message`.")]

    def __str__(self) -> str:
        return f"{self.domain}.{self.action}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read `domain.action`."""
        domain, _, action = name.partition(".")
        return cls(domain, action)


@frozen
class FieldFault:
    """One fault in what a client sent."""

    path: Annotated[str, Meta(description="Where the fault is, such as `$.data.session_id`.")]
    message: Annotated[str, Meta(description="What is wrong there.")]


@frozen
class ErrorBody:
    """An error, the same in REST answers, WebSocket frames, task records and the command line."""

    code: Annotated[str, Meta(description="A stable code such as `ORCH_VAL_001`.")]
    type: Annotated[str, Meta(description="The class of the error, such as `validation_error`.")]
    message: Annotated[str, Meta(description="One sentence that a person can act on.")]
    details: Annotated[list[FieldFault], Meta(description="The faults, each with its path.")] = field(factory=list)
    retryable: Annotated[bool, Meta(description="Whether the same request may succeed later.")] = False
    retry_after_ms: Annotated[int | None, Meta(description="How long to wait before a retry, in ms.")] = None
    service: Annotated[str, Meta(description="Where the error arose.")] = "agent_orchestrator"
    correlation_id: Annotated[str | None, Meta(description="The request that it belongs to.")] = None


@frozen
class RequestEnvelope:
    """What a client sends around `data`; everything but `data` may be left out."""

    data: Any
    message_id: Id | None = None
    correlation_id: Id | None = None
    type: MessageType | None = None
    schema_version: str | None = SCHEMA_VERSION
    created_at: Annotated[Timestamp | None, Meta(extra={"check": moment_fault})] = None
    tenant_id: Id | None = None
    source_service: str | None = None

    @property
    def version_fault(self) -> FieldFault | None:
        """What is wrong with the version; None: nothing. As for the other fields, null is nothing said."""
        major = SCHEMA_VERSION.partition(".")[0]
        if (self.schema_version or SCHEMA_VERSION).partition(".")[0] == major:
            return None
        return FieldFault("$.schema_version", f"must be {major}.x, such as {SCHEMA_VERSION}")


@frozen
class Status:
    """The outcome of a request."""

    code: Annotated[int, Meta(description="The HTTP status.")]
    message: Annotated[str, Meta(description="Its standard phrase.")]


@frozen
class Pagination:
    """Where a list goes on."""

    limit: Annotated[int, Meta(description="How many items were asked for.")]
    has_more: Annotated[bool, Meta(description="Whether more items follow.")]
    next_cursor: Annotated[str | None, Meta(description="The cursor of the next page; opaque.")] = None
    offset: Annotated[int | None, Meta(description="How many items come before; where they are counted.")] = None
    total: Annotated[int | None, Meta(description="How many items there are in all; null: too many to count.")] = None


@frozen
class AnswerMeta:
    """What is said about an answer."""

    request_id: Annotated[str, Meta(description="Identifies this very request in the logs.")]
    processing_time_ms: Annotated[float, Meta(description="How long the service took, in ms.")]
    source_service: Annotated[str, Meta(description="Who answered.")] = SOURCE_SERVICE
    pagination: Pagination | None = None
