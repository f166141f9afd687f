"""A process's queue over a real Redis, with turns that do as their messages say."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import trio
from attrs import define, evolve, field, frozen

from orchestrator.clients.opening import open_clients
from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.errors import BadGateway, OrchestratorError
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.events.events import ChatStream, Event
from orchestrator.models.sessions.chat import ChatAccepted, ChatAnswer, ChatTurn, IfBusy
from orchestrator.models.sessions.session import Session, SessionCreate
from orchestrator.models.tasks.task import CancelledBy, Task, TaskStatus
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.queue.tasks.batch_items import BatchItems
from orchestrator.queue.tasks.chat_tasks import ChatTasks
from orchestrator.queue.tasks.dispatch import Dispatcher
from orchestrator.queue.worker.consumer import Consumer, TaskHandler
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.chat.messages import ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.chat.turn_task import CHAT_TURN
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone, TurnRunner, TurnWaiting
from orchestrator.services.scheduling.batches import BATCH_ITEM
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.rate_limiter import rates_of
from orchestrator.services.tasks.tasks import TaskService, retention_of
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import EventLog
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.stores import Stores
from tests.support.eventually import eventually

SETTINGS = AgentOrchestratorSettings(jwt=JwtSettings(secret="s" * 32), task_retries=0)


def context(tenant: str = "acme", user: str = "ann", **fields: Any) -> RequestContext:
    """A request of a user."""
    principal = Principal(
        tenant, user, Role.USER, frozenset({"chat:*", "session:read", "session:write", "task:*"}), float("inf")
    )
    if "role" in fields:
        principal = evolve(principal, role=fields.pop("role"))
    trace = TraceContext("0" * 31 + "1", "0" * 15 + "1")
    return RequestContext(principal, new_id(), fields.pop("correlation_id", new_id()), trace, **fields)


@define
class ScriptedTurns:
    """Does what a message says, and notes what it did."""

    began: list[str] = field(factory=list)
    ended: list[str] = field(factory=list)
    noted: trio.Event = field(factory=trio.Event)
    """Set, and replaced, when a turn begins."""
    failures: list[OrchestratorError] = field(factory=list)
    """Of `flaky`: it fails so, one after the other, before it answers."""
    attempts: list[tuple[int, int]] = field(factory=list)
    """Of each attempt: failures before it, and the time (ms) that it has."""
    stopped_by: list[CancelledBy | None] = field(factory=list)
    """Who has stopped a turn that was cancelled while it was held."""
    running: trio.Event = field(factory=trio.Event)
    release: trio.Event = field(factory=trio.Event)

    async def have_begun(self, *contents: str) -> None:
        """Wait until these were the last to begin, in any order."""
        await eventually(
            f"{', '.join(contents)} have begun",
            lambda: sorted(self.began[-len(contents) :]),
            lambda began: began == sorted(contents),
            changed=lambda: self.noted,
        )

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        """`say …` answers, `hold …` waits for `release`, `fail` fails, `crash` has a bug, `tool` asks the client."""
        content: str = run.message.payload["content"]
        message_id = str(run.message.metadata.message_id)
        self.began.append(content)
        self.noted.set()
        self.noted = trio.Event()
        self.running.set()
        word, _, rest = content.partition(" ")
        self.attempts.append((run.message.metadata.retry_count, run.message.metadata.timeout_ms))
        if word == "flaky" and self.failures:
            await run.emit("chat.stream", ChatStream(message_id, 1, rest))
            raise self.failures.pop(0)
        if word == "fail":
            raise BadGateway("The agent answered nonsense.")
        if word == "crash":
            raise ZeroDivisionError
        if word == "tool" and "answer:call-1" not in run.checkpoints:
            asked = {"tool_id": "confirm_action", "params": {}}
            return TurnWaiting((Wait("call-1", WaitKind.CLIENT_TOOL, int(rest or 60_000), asked),))
        await run.emit("chat.stream", ChatStream(message_id, 1, rest))
        if word == "hold":
            try:
                await self.release.wait()
            except trio.Cancelled:
                self.stopped_by.append(run.stopped_by)
                partial.answer = ChatAnswer(message_id, new_id(), rest)
                raise
        if word == "tool":
            rest = orjson.dumps(run.checkpoints["answer:call-1"]).decode()
        self.ended.append(content)
        return TurnDone(ChatAnswer(message_id, new_id(), rest), "conversation-1", "1")


@frozen
class Stage:
    """One process without its HTTP side."""

    redis: Redis
    keys: Keys
    stores: Stores
    queue: QueueServices
    turns: ScriptedTurns
    sessions: SessionManager
    chat: ChatService
    tasks: TaskService
    hub: EventHub
    log: EventLog
    consumer: Consumer
    stopping: trio.Event

    async def session(self, ctx: RequestContext | None = None) -> Session:
        """Create a session."""
        return (await self.sessions.create(ctx or context(), SessionCreate("echo"))).session

    async def say(
        self, session: Session, content: str, *, if_busy: IfBusy = IfBusy.ENQUEUE, **fields: Any
    ) -> ChatAccepted:
        """Send a message as the session's owner."""
        ctx = context(session.tenant_id, session.user_id, **fields)
        return (await self.chat.send(ctx, session.session_id, ChatTurn(content, if_busy=if_busy))).accepted

    async def ended(self, session: Session, accepted: ChatAccepted) -> Task:
        """Wait until a turn has ended, however it did."""
        ctx = context(session.tenant_id, session.user_id)
        with trio.fail_after(10):
            return await self.chat._finished(ctx, accepted)

    async def status(self, session: Session, accepted: ChatAccepted) -> TaskStatus:
        """Return a turn's status."""
        return (await self.tasks.get(context(session.tenant_id, session.user_id), accepted.task_id)).status

    async def becomes(self, session: Session, accepted: ChatAccepted, wanted: TaskStatus) -> None:
        """Wait until a turn's status is this one."""
        await eventually(
            f"the turn is {wanted}", lambda: self.status(session, accepted), lambda status: status is wanted
        )

    async def expire(self, session: Session, *turns: ChatAccepted) -> None:
        """Let turns wait for longer than they may, as if that time had passed."""
        for accepted in turns:
            task = self.keys.task(session.tenant_id, accepted.task_id)
            assert await self.redis.hset(task, "expires_at", 1) == 0, "a turn that may wait for ever"

    async def idles(self, session: Session) -> None:
        """Let a session be idle for as long as its next move takes, as if that time had passed."""
        timers = self.keys.session_timers(session.tenant_id)
        assert await self.redis.zadd(timers, {session.session_id: 1}, xx=True, ch=True) == 1

    async def events(self, session: Session) -> list[Event]:
        """Return the whole log of a session."""
        return [*await self.log.read(session.tenant_id, session.session_id, after=0, limit=100_000)]

    async def event_names(self, session: Session) -> list[str]:
        """Return what happened in a session, statuses in brackets."""
        names = []
        for event in await self.events(session):
            data = orjson.loads(event.body)["data"]
            detail = data.get("status") or data.get("state")
            names.append(f"{event.name}({detail})" if detail else event.name)
        return names


@asynccontextmanager
async def open_stage(
    redis_url: str,
    settings: AgentOrchestratorSettings = SETTINGS,
    *,
    consume: bool = True,
    node: str | None = None,
    runner: TurnRunner | None = None,
    handlers: Callable[[QueueServices, Stores], Mapping[str, TaskHandler]] | None = None,
) -> AsyncIterator[Stage]:
    """Open a process without its HTTP side; `consume=False` leaves its consumer to the test.

    `runner` runs the turns instead of `Stage.turns`; `handlers` makes what runs tasks of further types.
    """
    async with open_redis(redis_url) as redis, open_clients(settings.services) as clients:
        stores, rates = Stores.over(redis, settings), rates_of(settings)
        keys, log = stores.keys, stores.events
        hub = EventHub(redis, keys, log)
        sessions = SessionManager(stores.sessions, stores.audit, settings, rates)
        tasks = TaskService(stores.tasks, stores.ready, retention_of(settings))
        talks = Transcripts(stores.tasks, sessions, Conversations(clients.conversation, ServiceCoordinator()), settings)
        chat = ChatService(
            stores.admission, stores.tasks, tasks, sessions, stores.ready, stores.due, hub, talks, settings, rates
        )
        queue = QueueServices.over(stores, settings, node=node or new_id(), sessions=sessions, kinds=KNOWN_KINDS)
        turns = ScriptedTurns()
        chats, items = ChatTasks(queue, runner or turns), BatchItems(queue, runner or turns)
        kinds: dict[str, TaskHandler] = {str(CHAT_TURN): chats, str(BATCH_ITEM): items}
        consumer = Consumer(queue, Dispatcher(queue, kinds | dict(handlers(queue, stores) if handlers else {})))
        stopping = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(hub.run)
            if consume:
                await nursery.start(consumer.run, stopping)
            yield Stage(redis, keys, stores, queue, turns, sessions, chat, tasks, hub, log, consumer, stopping)
            nursery.cancel_scope.cancel()
