"""Attempts at the delivery of callbacks."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp


@frozen
class CallbackAttempt:
    """One attempt to deliver a callback; its body is not kept."""

    at: Timestamp
    task_id: Annotated[Id, Meta(description="The delivery, which the receiver gets as `webhook-id`.")]
    attempt: Annotated[int, Meta(ge=1, description="Which attempt of the delivery it was.")]
    url: Annotated[str, Meta(description="Where to, without credentials and query.")]
    status: Annotated[int | None, Meta(description="What the receiver answered; null: nothing.")]
    error: Annotated[ErrorBody | None, Meta(description="Why it failed; null: it was heard.")]
    duration_ms: Annotated[int, Meta(ge=0, description="From the look-up of the host to the answer.")]
    body_bytes: Annotated[int, Meta(ge=0, description="Size of the body.")]
    body_sha256: Annotated[str, Meta(description="SHA-256 of the body, in hexadecimal digits.")]
