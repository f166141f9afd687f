"""System events: what processes tell each other and operators."""

from typing import Annotated, ClassVar

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.timestamps import Timestamp


@frozen
class SystemEvent:
    """Something that has happened to the service itself."""

    SCHEMA_NAME: ClassVar = "Notice"
    name: Annotated[
        str,
        Meta(
            description="`breaker.open`, `node.joined`, `node.left`, `tenant.paused`, `tenant.configured` and the like."
        ),
    ]
    node: Annotated[str, Meta(description="The process that says so.")]
    at: Timestamp
    about: Annotated[dict[str, str], Meta(description="What it happened to, and how.")] = field(factory=dict)
