"""A turn as the client sees it: the sum of the events of one message."""

import json
import time
from typing import Any, Final

from attrs import define, field

from cli.core.follow import Frame

_ENDS: Final = frozenset({"failed", "cancelled", "interrupted"})


@define
class ToolCall:
    """A call of a tool within a turn."""

    tool_id: str
    params: Any
    result: dict[str, Any] | None = None
    """`result` of `tool.result`; None: it has not ended."""
    is_shown: bool = False
    """Whether the screen has shown it with its result."""


@define
class Turn:
    """One message and its answer, as far as they are known."""

    message_id: str = ""
    """Empty until the service has accepted it."""
    task_id: str = ""
    correlation_id: str = ""
    status: str = "queued"
    text: str = ""
    events: int = 0
    """How many events have come."""
    attempt: int = 1
    """Increases when the answer starts over, which voids the text so far."""
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    cancelled_by: str | None = None
    """Who has stopped it: `user`, `operator` or `system`; None: it was not stopped, or that is not told."""
    asked_at: float = field(factory=time.monotonic)
    """By the clock of this process, in seconds."""
    tools: dict[str, ToolCall] = field(factory=dict)
    """The calls of tools, by their id, in the order in which they began."""

    @property
    def doing(self) -> str:
        """What is waited for, in a few words."""
        running = [call for call in self.tools.values() if call.result is None]
        if running:
            return " and ".join(f"{call.tool_id}({json.dumps(call.params, ensure_ascii=False)})" for call in running)
        return "waiting" if self.status == "queued" else "working"

    @property
    def is_over(self) -> bool:
        """Whether the turn has ended."""
        return self.answer is not None or self.status in _ENDS

    @property
    def lookup_hint(self) -> str:
        """A hint at the command that shows the turn once the chat no longer follows it."""
        return f"'nooble-orch tasks show {self.task_id}' shows it."

    def accept(self, message_id: str, task_id: str) -> None:
        """Note the ids that the service has given to the message."""
        self.message_id, self.task_id = message_id, task_id

    def apply(self, frame: Frame) -> bool:
        """Apply an event; returns false for an event of another message."""
        owner = frame.data.get("parent_message_id") or frame.data.get("message_id") or frame.data.get("parent_id")
        if owner != self.message_id:
            return False
        self.events += 1
        self.correlation_id = frame.raw.get("correlation_id") or self.correlation_id
        getattr(self, f"_{frame.name.replace('.', '_')}", self._other)(frame.data)
        return True

    def finish(self, task: dict[str, Any]) -> None:
        """Note the outcome, as the record of the task has it, where the events were lost."""
        self.status, self.cancelled_by = task["status"], task.get("cancelled_by")
        self.answer, self.error = task.get("result"), task.get("error")

    def _chat_status_update(self, data: dict[str, Any]) -> None:
        self.status = data["status"]
        self.cancelled_by = data.get("cancelled_by")

    def _chat_stream(self, data: dict[str, Any]) -> None:
        if data.get("content_type") == "thinking":
            return
        self.text += data["chunk"]

    def _chat_stream_reset(self, _: dict[str, Any]) -> None:
        # The attempt of the event counts claims of the task; this one counts answers that the user has seen.
        self.text = ""
        self.attempt += 1

    def _tool_started(self, data: dict[str, Any]) -> None:
        # A turn that another worker has taken over may start a call again.
        self.tools.setdefault(data["tool_call_id"], ToolCall(data["tool_id"], data["params"]))

    def _tool_result(self, data: dict[str, Any]) -> None:
        # A service of an older version does not tell that a tool has started; the answer names it then.
        if (call := self.tools.get(data["tool_call_id"])) is not None:
            call.result = data["result"]

    def _chat_completed(self, data: dict[str, Any]) -> None:
        self.answer = data
        self.text = data["content"]
        self.status = "completed"

    def _system_error(self, data: dict[str, Any]) -> None:
        self.error = data["error"]

    def _other(self, _: dict[str, Any]) -> None:
        """Ignore an event of a later version."""
