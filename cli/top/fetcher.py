"""Requests of the screens, made in a thread: Textual runs on asyncio, and the client is synchronous."""

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from textual.message import Message
from textual.message_pump import MessagePump

_PENDING: Final = 16
"""Requests that wait at most; a screen has one for what it shows, and one for what its user does."""


class Answer(Message):
    """What came of a request.

    Args:
        key: of the request.
        data: the answer; None after an error.
        error: None where there is an answer.
    """

    def __init__(self, key: str, data: Any = None, error: Exception | None = None) -> None:
        super().__init__()
        self.key, self.data, self.error = key, data, error


@frozen
class _Request:
    receiver: MessagePump
    key: str
    fetch: Callable[[], Any]


class Fetcher:
    """Makes one request at a time, in a thread that the end of the process does not wait for."""

    def __init__(self) -> None:
        self._requests: queue.Queue[_Request] = queue.Queue(_PENDING)
        threading.Thread(target=self._run, name="top-fetcher", daemon=True).start()

    def ask(self, receiver: MessagePump, key: str, fetch: Callable[[], Any]) -> bool:
        """Have a request made; `receiver` gets its `Answer`.

        Args:
            receiver: a screen; where it is gone by then, the answer is dropped.
            key: what the answer is recognized by.
            fetch: makes the request, with the time limit of its client.

        Returns:
            False where too many requests wait: this one is not made.
        """
        try:
            self._requests.put_nowait(_Request(receiver, key, fetch))
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            try:
                answer = Answer(request.key, request.fetch())
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: the screen shows or raises it
                answer = Answer(request.key, error=error)
            try:
                request.receiver.post_message(answer)
            except RuntimeError:
                # The screen, or the whole application, is gone: nothing waits for the answer.
                continue
