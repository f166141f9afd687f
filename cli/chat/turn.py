"""A turn as the client sees it: what the events of one message add up to."""

from typing import Any, Final

from attrs import define, field

from cli.follow import Frame

_ENDS: Final = frozenset({"failed", "cancelled", "interrupted"})


@define
class Turn:
    """What is known of one message and its answer."""

    started: float
    """When it was sent, in seconds of whatever clock `apply` is given."""
    message_id: str = ""
    """Empty until the service has accepted it."""
    task_id: str = ""
    correlation_id: str = ""
    status: str = "queued"
    text: str = ""
    attempt: int = 1
    """Grows when the answer starts over and what was shown no longer counts."""
    answer: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    moments: list[tuple[str, float]] = field(factory=list)
    """What happened when, in seconds after the start."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.answer is not None or self.status in _ENDS

    def accept(self, message_id: str, task_id: str, now: float) -> None:
        """Take what the service has made of the message."""
        self.message_id, self.task_id = message_id, task_id
        self._mark("accepted", now - self.started)

    def apply(self, frame: Frame, now: float) -> bool:
        """Take an event; false if it belongs to something else."""
        owner = frame.data.get("parent_message_id") or frame.data.get("message_id") or frame.data.get("parent_id")
        if owner != self.message_id:
            return False
        self.correlation_id = frame.raw.get("correlation_id") or self.correlation_id
        getattr(self, f"_{frame.name.replace('.', '_')}", self._other)(frame.data, now - self.started)
        return True

    def finish(self, status: str, answer: dict[str, Any] | None, error: dict[str, Any] | None, now: float) -> None:
        """Take the outcome from the task's record, where the events that told it are no longer to be had."""
        self.status, self.answer, self.error = status, answer, error
        self._mark(status, now - self.started)

    def _chat_status_update(self, data: dict[str, Any], at: float) -> None:
        if data["status"] != self.status:
            self._mark(data["status"], at)
        self.status = data["status"]

    def _chat_stream(self, data: dict[str, Any], at: float) -> None:
        if data.get("content_type") == "thinking":
            return
        if not self.text and data["chunk"]:
            self._mark("first token", at)
        self.text += data["chunk"]

    def _chat_stream_reset(self, _: dict[str, Any], at: float) -> None:
        # The attempt of the event counts claims of the task; ours counts what the person sees.
        self.text = ""
        self.attempt += 1
        self._mark("starts over", at)

    def _chat_completed(self, data: dict[str, Any], at: float) -> None:
        self.answer = data
        self.text = data["content"]
        self.status = "completed"
        self._mark("answer", at)

    def _tool_execute(self, data: dict[str, Any], at: float) -> None:
        self._mark(f"asks for {data['tool_id']}", at)

    def _tool_result(self, data: dict[str, Any], at: float) -> None:
        self._mark(f"tool {data['result']['status']}", at)

    def _system_error(self, data: dict[str, Any], _: float) -> None:
        self.error = data["error"]

    def _other(self, _: dict[str, Any], __: float) -> None:
        """Later versions may send more; it changes nothing here."""

    def _mark(self, name: str, at: float) -> None:
        self.moments.append((name, at))
