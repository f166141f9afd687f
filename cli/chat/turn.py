"""A turn as the client sees it: what the events of one message add up to."""

from typing import Any, Final

from attrs import define

from cli.core.follow import Frame

_ENDS: Final = frozenset({"failed", "cancelled", "interrupted"})


@define
class Turn:
    """What is known of one message and its answer."""

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

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.answer is not None or self.status in _ENDS

    def accept(self, message_id: str, task_id: str) -> None:
        """Take what the service has made of the message."""
        self.message_id, self.task_id = message_id, task_id

    def apply(self, frame: Frame) -> bool:
        """Take an event; false if it belongs to something else."""
        owner = frame.data.get("parent_message_id") or frame.data.get("message_id") or frame.data.get("parent_id")
        if owner != self.message_id:
            return False
        self.correlation_id = frame.raw.get("correlation_id") or self.correlation_id
        getattr(self, f"_{frame.name.replace('.', '_')}", self._other)(frame.data)
        return True

    def finish(self, status: str, answer: dict[str, Any] | None, error: dict[str, Any] | None) -> None:
        """Take the outcome from the task's record, where the events that told it are no longer to be had."""
        self.status, self.answer, self.error = status, answer, error

    def _chat_status_update(self, data: dict[str, Any]) -> None:
        self.status = data["status"]

    def _chat_stream(self, data: dict[str, Any]) -> None:
        if data.get("content_type") == "thinking":
            return
        self.text += data["chunk"]

    def _chat_stream_reset(self, _: dict[str, Any]) -> None:
        # The attempt of the event counts claims of the task; ours counts what the person sees.
        self.text = ""
        self.attempt += 1

    def _chat_completed(self, data: dict[str, Any]) -> None:
        self.answer = data
        self.text = data["content"]
        self.status = "completed"

    def _system_error(self, data: dict[str, Any]) -> None:
        self.error = data["error"]

    def _other(self, _: dict[str, Any]) -> None:
        """Later versions may send more; it changes nothing here."""
