"""`sessions watch`: the events of a session, as they come."""

import json
from typing import Any

from cli.core.client import Api
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.follow import FollowedSession, Frame
from cli.core.interrupts import run_trio, until_signalled
from cli.core.output import show_next


def watch_session(target: Target, session_id: str, *, from_start: bool) -> None:
    """Print the events of a session until it is closed.

    Args:
        target: the stack.
        session_id: the session.
        from_start: whether to start with the oldest event that is kept.

    Raises:
        CliFailure: there is no such session, the service can't be reached, or Ctrl-C has stopped it.
    """
    with Api(target, operator=True) as api:
        session = api.get(f"session.get/{session_id}")
    # Offsets start at 1; for offset 0 the server sends all events that it keeps.
    socket = FollowedSession(target, session["session_id"], operator=True, after=0 if from_start else None)

    async def follow() -> None:
        async with socket.opened() as frames:
            async for frame in frames:
                show_next(frame.raw, _line(frame))

    if run_trio(until_signalled, follow) is not None:
        raise CliFailure(f"Stopped watching; session {session_id} stays open.", "", Exit.INTERRUPTED)


def _line(frame: Frame) -> str:
    time = str(frame.raw.get("created_at", ""))[11:23]
    return f"{time}  {frame.offset or '':>5}  {frame.name:<22} {_summary(frame.name, frame.data)}"


def _summary(name: str, data: dict[str, Any]) -> str:
    known = {
        "session.state_update": ("state", "active_task_id"),
        "chat.status_update": ("status", "message_id"),
        "chat.stream": ("chunk",),
        "chat.completed": ("content",),
        "tool.execute": ("tool_id", "params"),
        "tool.result": ("tool_call_id", "result"),
        "system.error": ("error",),
    }
    values = [data[field] for field in known.get(name, tuple(data)) if data.get(field) is not None]
    return "  ".join(part if isinstance(part, str) else json.dumps(part) for part in values).replace("\n", "⏎")
