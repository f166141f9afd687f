"""What a task waits for while it holds no slot: somebody else who answers later."""

from enum import StrEnum
from typing import Any

from attrs import frozen


class WaitKind(StrEnum):
    """Who answers."""

    CLIENT_TOOL = "client_tool"
    """The client runs a tool, and sends `tool.result`."""
    DELEGATED = "delegated"
    """A service has taken the work on, and sends `task.complete` or `task.fail`."""


@frozen
class Wait:
    """One answer that is to come."""

    call_id: str
    """Names it within its task: the id of a tool call, or the name of a plan's call."""
    kind: WaitKind
    timeout_ms: int
    """After so long it is answered by an error."""
    request: dict[str, Any] | None = None
    """What a client is asked: the fields of `tool.execute`."""
