"""Output of answers for programs: the finished answer, or each event."""

import json
from typing import Any

from cli.chat.turn import Turn
from cli.core.follow import Frame
from cli.core.output import note, show_record
from cli.core.selection import current_options


class DataScreen:
    """JSON on stdout, with `-o jsonl` a line an event, else the answer at its end; sentences on stderr.

    Args:
        session_id: the session of the chat.
    """

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._is_stream = current_options().format == "jsonl"

    def event(self, frame: Frame) -> None:
        """Print an event, as the server sent it."""
        if self._is_stream:
            print(json.dumps(frame.raw), flush=True)

    def update(self, turn: Turn) -> None:
        """Show nothing: the answer is not finished."""

    def finish(self, turn: Turn) -> None:
        """Print the answer: what `chat.completed` says, with the ids and the end of its turn."""
        if self._is_stream:
            return
        ids = {"session_id": self._session_id, "task_id": turn.task_id, "correlation_id": turn.correlation_id}
        said: dict[str, Any] = turn.answer or {"content": turn.text, "parent_message_id": turn.message_id}
        show_record({**said, **ids, "status": turn.status, "error": turn.error})

    def progress(self, turn: Turn) -> None:
        """Show nothing: programs wait without it."""

    def pause(self) -> None:
        """Do nothing: nothing is drawn."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        note(text)

    def stop(self) -> None:
        """Do nothing: nothing is drawn."""
