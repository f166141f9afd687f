"""Frames are as `/asyncapi.json` describes them: the clients of the tests look at every one that comes."""

from functools import cache
from typing import Any

import orjson
from jsonschema_rs import Draft7Validator

from orchestrator.websocket.asyncapi import build_document


@cache
def asyncapi() -> Any:
    """Return the document, as clients get it."""
    return orjson.loads(orjson.dumps(build_document("")))


@cache
def validator(side: str, name: str) -> Draft7Validator:
    """Return what validates a frame.

    Args:
        side: who sends it, `server` or `client`.
        name: the frame, `domain.action`.

    Raises:
        KeyError: the document has no such frame.
    """
    components = asyncapi()["components"]
    payload = components["messages"][f"{side}.{name}"]["payload"]
    return Draft7Validator({**payload, "components": components}, validate_formats=True)


def name_of(frame: Any) -> str:
    """Return `domain.action` of a frame."""
    return f"{frame['type']['domain']}.{frame['type']['action']}"


def documented(frame: Any) -> Any:
    """Return a frame of the server, which the document describes.

    Raises:
        KeyError: the document has no such frame.
        ValidationError: the frame is not as the document says.
    """
    validator("server", name_of(frame)).validate(frame)
    return frame
