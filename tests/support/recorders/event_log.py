"""An event log in memory, and its hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from orchestrator.models.events.events import ChatStatusUpdate, ChatStream, StateUpdate
from orchestrator.models.sessions.chat import ChatAccepted, ChatAnswer, MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.follower import PassOn
from orchestrator.store.events.frames import make_body


@define
class FakeEventLog:
    """The log of one session, and the hub by which it is followed."""

    events: list[LoggedEvent] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)
    """Set, and replaced, when the log has grown, or has another follower."""
    cut: bool = False
    """Whether what followers have missed is gone."""
    followers: int = 0
    pass_on: PassOn | None = None
    """What the last follower gave to have events passed on by."""

    def emit(self, name: str, data: object) -> None:
        """Append an event."""
        body = make_body(name, data, tenant_id="acme", correlation_id="c1")
        self.events.append(LoggedEvent(len(self.events) + 1, "e1", name, body))
        self._change()

    def play(self, accepted: ChatAccepted, *, upto: int = 5) -> None:
        """Append the events of a whole turn, and one of another turn between them."""
        message_id, task_id = accepted.message_id, accepted.task_id
        events = [
            ("chat.status_update", ChatStatusUpdate(message_id, task_id, MessageStatus.QUEUED)),
            ("session.state_update", StateUpdate(accepted.session_id, SessionState.ACTIVE, 20)),
            ("chat.stream", ChatStream("another-message", 1, "not ours")),
            ("chat.stream", ChatStream(message_id, 1, "Hello")),
            ("chat.completed", ChatAnswer(message_id, "answer-1", "Hello")),
        ]
        for name, data in events[:upto]:
            self.emit(name, data)

    def status(self) -> MessageStatus:
        """How the turn stands whose events were played."""
        ended = any(event.name == "chat.completed" for event in self.events)
        return MessageStatus.COMPLETED if ended else MessageStatus.PROCESSING

    async def read(self, tenant_id: str, session_id: str, *, after: int, limit: int) -> list[LoggedEvent]:
        return self.events[after : after + limit]

    async def head(self, tenant_id: str, session_id: str) -> tuple[int, str]:
        return len(self.events), "e1"

    def place(self, tenant_id: str, session_id: str) -> tuple[int, str] | None:
        return None

    @asynccontextmanager
    async def follow(
        self,
        tenant_id: str,
        session_id: str,
        *,
        after: int,
        epoch: str | None,
        pass_on: PassOn | None = None,
        keep_seconds: float = 0.0,
    ) -> AsyncIterator["FakeFollower"]:
        self.pass_on = pass_on
        self.followers += 1
        self._change()
        try:
            yield FakeFollower(self, after, recovered=not self.cut)
        finally:
            self.followers -= 1
            self._change()

    def _change(self) -> None:
        told, self.changed = self.changed, trio.Event()
        told.set()


@define
class FakeFollower:
    """Reads a log from an offset on."""

    log: FakeEventLog
    offset: int
    recovered: bool

    def at_hand(self) -> list[LoggedEvent]:
        events = self.log.events[self.offset :]
        self.offset = len(self.log.events)
        return events

    async def receive(self) -> list[LoggedEvent]:
        while len(self.log.events) <= self.offset:
            await self.log.changed.wait()
        events = self.log.events[self.offset :]
        self.offset = len(self.log.events)
        return events
