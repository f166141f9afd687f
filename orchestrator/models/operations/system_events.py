"""Notices: what processes tell each other and operators."""

from typing import Annotated

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.timestamps import Timestamp


@frozen
class Notice:
    """Something that has happened to the service itself."""

    name: Annotated[
        str,
        Meta(
            description="`breaker.open`, `node.joined`, `node.left`, `tenant.paused`, `tenant.configured` and the like."
        ),
    ]
    node: Annotated[str, Meta(description="The process that says so.")]
    at: Timestamp
    about: Annotated[dict[str, str], Meta(description="What it happened to, and how.")] = field(factory=dict)
