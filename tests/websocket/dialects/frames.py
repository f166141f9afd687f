"""Events as they stand in logs, for the tests of dialects."""

from typing import Any

import orjson

from orchestrator.store.events.events import FrameWriter, LoggedEvent
from orchestrator.store.events.frames import make_body


def logged(name: str, data: object, *, owner_id: str = "s1") -> LoggedEvent:
    """An event at offset 7 of the epoch `e1`."""
    return LoggedEvent(7, "e1", name, make_body(name, data, tenant_id="acme", correlation_id="c1"), owner_id)


def written(write: FrameWriter, event: LoggedEvent) -> Any:
    """The frame of an event, read again."""
    return orjson.loads(event.written_by(write))
