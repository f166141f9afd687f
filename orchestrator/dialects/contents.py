"""Words for kinds of content: the media types that they stand for."""

from collections.abc import Mapping
from typing import Any, Final

MEDIA_TYPES: Final = {"text": "text/plain", "markdown": "text/markdown", "html": "text/html"}
"""The media type that a documented kind of content stands for."""


def with_media_type(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a message with the media type in the place of a documented kind of content."""
    kind = fields.get("content_type")
    media_type = MEDIA_TYPES.get(kind) if isinstance(kind, str) else None
    return dict(fields) if media_type is None else {**fields, "content_type": media_type}
