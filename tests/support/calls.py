"""A turn's run in memory, and the coordinates of calls."""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import define, evolve, field

from orchestrator.codec import unstructure
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import FencedOut
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.principal import TraceContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.task import CancelledBy, TaskMessage, TaskMetadata
from orchestrator.models.tasks.waits import Callback
from tests.support.recorders.sessions import a_session


def call_context(seconds: float = 10.0, key: str | None = None) -> CallContext:
    trace = TraceContext("a" * 32, "b" * 16)
    return CallContext("acme", "corr-1", "req-1", trace, trio.current_time() + seconds, key)


def services_at(url: str, **fields_: Any) -> dict[str, ServiceSettings]:
    """All services at one address."""
    return {name: evolve(service, url=url, **fields_) for name, service in DEFAULTS.services.items()}


def a_busy_session(agent_id: str = "echo", conversation_id: str | None = None) -> Session:
    """The session of ana's that has the turn."""
    return a_session(
        "s1",
        SessionState.PROCESSING,
        user_id="ana",
        agent_id=agent_id,
        context={"language": "en"},
        message_count=1,
        conversation_id=conversation_id,
    )


def a_message(content: str = "Hello", timeout_ms: int = 10_000) -> TaskMessage:
    return TaskMessage(
        message_id="env-1",
        task_id="task-1",
        tenant_id="acme",
        correlation_id="corr-1",
        created_at=to_timestamp(now_ms()),
        type=MessageType("chat", "turn"),
        metadata=TaskMetadata(user_id="ana", timeout_ms=timeout_ms, message_id="m1"),
        payload={
            "message_id": "m1",
            "content": content,
            "content_type": "text/plain",
            "attachments": [],
            "metadata": {},
        },
        session_id="s1",
    )


@define
class FakeDelegations:
    """Registers calls in a dictionary."""

    registered: dict[str, str] = field(factory=dict)
    """The last token, by call."""
    taken: dict[str, str] = field(factory=dict)
    """How the service names its work, by call."""

    async def register(self, call_id: str, service: str, timeout_ms: int) -> Callback | None:
        await trio.lowlevel.checkpoint()
        if call_id in self.taken:
            return None
        self.registered[call_id] = f"token-{len(self.registered)}"
        return Callback("task-1", self.registered[call_id])

    async def sent(self, call_id: str, service: str, execution_id: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.taken[call_id] = execution_id


@define
class FakeAttempt:
    """Keeps in lists what the real one keeps in Redis."""

    message: TaskMessage = field(factory=a_message)
    session: Session = field(factory=a_busy_session)
    attempt: int = 1
    checkpoints: Mapping[str, Any] = field(factory=dict)
    window: list[HistoryMessage] = field(factory=list)
    stopped_by: CancelledBy | None = None
    fenced: bool = False
    slowness: float = 0.0
    """Seconds that an append takes."""
    events: list[tuple[str, dict[str, Any]]] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    delegations: FakeDelegations = field(factory=FakeDelegations)
    spoken: trio.Event = field(factory=trio.Event)
    """Set when the first piece of the answer is in the log."""

    async def emit(self, name: str, data: object) -> None:
        if self.fenced:
            raise FencedOut
        await trio.sleep(self.slowness)
        self.events.append((name, unstructure(data)))
        if name == "chat.stream":
            self.spoken.set()

    async def checkpoint(self, name: str, result: Any) -> None:
        if self.fenced:
            raise FencedOut
        await trio.lowlevel.checkpoint()
        self.kept[name] = result

    async def recent(self) -> list[HistoryMessage]:
        await trio.lowlevel.checkpoint()
        return self.window

    def next_attempt(self, **more: Any) -> "FakeAttempt":
        """The same task, claimed again."""
        return FakeAttempt(
            self.message,
            self.session,
            self.attempt + 1,
            {**self.checkpoints, **self.kept, **more},
            self.window,
            delegations=self.delegations,
        )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [data for found, data in self.events if found == name]

    @property
    def streamed(self) -> str:
        """What a client shows: the pieces of the response since the last reset."""
        shown = ""
        for name, data in self.events:
            if name == "chat.stream_reset":
                shown = ""
            elif name == "chat.stream" and data["content_type"] == "response":
                shown += data["chunk"]
        return shown
