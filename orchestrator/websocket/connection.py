"""One open socket: a task that reads, one that writes, and one that watches over both.

The first to find a reason ends the socket (`end`); the watcher then says goodbye, with a deadline, and drops the
connection where even that can't be written. The writer alone sends events and alone moves the follower, so what the
client sees of the log is always in order. While it waits for events, the pump may send them in its stead (`pass_on`).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

from orchestrator.errors import NotFound, OrchestratorError
from orchestrator.middleware.auth import Authenticator
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.services.container import Services
from orchestrator.services.subjects import Subject
from orchestrator.store.events.event_hub import Follower, FollowerTooSlow, HubStopped, LogLost
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.websocket import closing
from orchestrator.websocket.closing import INTERNAL, NORMAL, TOKEN, TOO_SLOW, UNKNOWN, Goodbye
from orchestrator.websocket.dialects.dialect import Dialect
from orchestrator.websocket.events import Place
from orchestrator.websocket.handlers import Frames
from orchestrator.websocket.peer import Sync
from orchestrator.websocket.wire import Wire

WRITE_BYTES: Final = 65_536
"""Frames are written together up to this size."""
MOST_TOLD: Final = 16
"""Notifications that wait for the writer."""
_NOTIFICATION: Final = "system.notification"

_log = structlog.get_logger("orchestrator.websocket")


class Connection:
    """An accepted socket that follows a session.

    Args:
        wire: where to send.
        services: the application.
        ctx: the request that opened it.
        session_id: the session; or what else is followed.
        subject: the same, as the socket sees it.
        authenticator: for tokens that are renewed.
        dialect: the client's.
    """

    # There are thousands of them, and most are idle.
    __slots__ = (
        "_authenticator", "_ctx", "_dialect", "_ended", "_epoch", "_goodbye", "_offset", "_ping_interval", "_subject",
        "_sync", "_told", "_waiting", "_watching", "_wire", "_written", "heard", "principal", "remote_address",
        "services", "session_id",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        services: Services,
        ctx: RequestContext,
        session_id: str,
        subject: Subject,
        authenticator: Authenticator,
        dialect: Dialect,
    ) -> None:
        self.services = services
        self.session_id = session_id
        self.principal: Principal = ctx.principal
        self.remote_address = ctx.remote_address
        self.heard = True
        """Whether the client has been heard since the last ping."""
        self._wire = wire
        self._ctx = ctx
        self._subject = subject
        self._authenticator = authenticator
        self._dialect = dialect
        self._ping_interval = services.settings.ws_ping_interval
        self._offset = 0
        self._epoch = ""
        self._sync: Sync | None = None
        self._told: tuple[bytes, ...] = ()
        self._waiting: trio.CancelScope | None = None
        self._watching: trio.CancelScope | None = None
        self._goodbye: Goodbye | None = None
        self._ended = trio.Event()
        self._written = trio.Event()

    @property
    def tenant_id(self) -> str:
        """Whose session it is."""
        return self.principal.tenant_id

    @property
    def opened_by(self) -> Principal:
        """The holder of the token with which the socket was opened."""
        return self._ctx.principal

    @property
    def log(self) -> EventLog:
        """Where the events are that it follows."""
        return self._subject.log

    @property
    def converses(self) -> bool:
        """Whether clients may talk with what they follow, as with a session."""
        return self._subject.converses

    @property
    def task_id(self) -> str | None:
        """The workflow's task, where one is followed."""
        return self._subject.task_id

    async def run(self, follower: Follower) -> None:
        """Serve the socket until it is closed.

        Args:
            follower: the subject's events, from where the client wants them; the subject was looked at after following
                had begun.
        """
        await self.run_with(self._write, follower)

    async def run_with(self, write: Callable[..., Awaitable[None]], *args: object) -> None:
        """Serve the socket until it is closed; `write` sends what is sent unasked, and notes when it is done."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard, write, *args)
            reading = await nursery.start(self._read)
            try:
                await self._watch(nursery)
            except trio.Cancelled:
                # The client is gone, or the server stops at once.
                await closing.abort(self._wire)
                raise
            reading.cancel()
            await closing.within_deadline(self._wire, self._say_goodbye)
            nursery.cancel_scope.cancel()
        await closing.drain(self._wire)

    def end(self, code: int, reason: str, name: str | None = None, data: object = None) -> None:
        """Close the socket; the first reason counts.

        Args:
            code: of the close frame.
            reason: of the close frame, a few words.
            name: an event to send before.
            data: its model.
        """
        if self._goodbye is None:
            self._goodbye = Goodbye(code, reason, name, data)
            self._ended.set()
            if self._waiting is not None:
                self._waiting.cancel()

    def too_slow(self) -> None:
        """Let a client go that does not keep up."""
        self.end(TOO_SLOW, "too slow; resume by offset")

    def renew(self, principal: Principal) -> None:
        """Go on with another token of the same user."""
        self.principal = principal
        if self._watching is not None:
            self._watching.cancel()

    def resume(self, sync: Sync) -> None:
        """Send again what followed an offset."""
        self._sync = sync
        if self._waiting is not None:
            self._waiting.cancel()

    def notify(self, body: bytes) -> None:
        """Send a notification besides the events; where many wait, the newest are sent.

        Args:
            body: of `system.notification`.
        """
        self._told = (*self._told, body)[-MOST_TOLD:]
        if self._waiting is not None:
            self._waiting.cancel()

    async def reply(self, name: str, data: object, correlation_id: str) -> None:
        """Send an event of this socket alone."""
        await self._wire.send([self._place().frame(name, data, correlation_id)])

    async def complain(
        self, error: OrchestratorError, *, parent_id: str | None, correlation_id: str, about: str = "session"
    ) -> None:
        """Send `system.error`."""
        await self._wire.send([self._place().complaint(error, correlation_id, parent_id=parent_id, about=about)])

    async def drop(self) -> None:
        """Drop the connection without a word."""
        await self._wire.abort()

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run one of the socket's tasks; what goes wrong in it ends this socket, and no other."""
        try:
            await work(*args)
        except OrchestratorError as error:
            self.end(error.close_code, error.type)
        except Exception:  # noqa: BLE001 # the boundary of one socket: logged, and told by the close code
            _log.exception("socket.failed", tenant_id=self.tenant_id, session_id=self.session_id)
            self.end(INTERNAL, "internal error")

    # Reading

    async def _read(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as reading:
            task_status.started(reading)
            await self._guard(self._read_frames)

    async def _read_frames(self) -> None:
        frames = self._frames()
        while True:
            raw = await self._wire.receive()
            await frames.handle(raw)
            # However long that took, a pong that waits behind it is not late.
            self.heard = True

    def _frames(self) -> Frames:
        return Frames(self, self._authenticator)

    # Writing

    async def _write(self, follower: Follower) -> None:
        try:
            await self._greet(follower, self._ctx)
            while not self._ended.is_set():
                await self._forward(await self._next(follower))
                if self._told:
                    told, self._told = self._told, ()
                    place = (self._offset, self._epoch, _NOTIFICATION)
                    await self._wire.send([self._dialect.write(LoggedEvent(*place, body)) for body in told])
                if self._sync is not None:
                    sync, self._sync = self._sync, None
                    await self._resume(follower, sync)
        finally:
            self._written.set()

    async def _next(self, follower: Follower) -> list[LoggedEvent]:
        """Wait for events, or until there is something else to do."""
        events: list[LoggedEvent] = []
        with trio.CancelScope() as self._waiting:
            if self._sync is not None or self._told:
                self._waiting.cancel()
            try:
                events = await follower.receive()
            except FollowerTooSlow:
                self.too_slow()
            except LogLost:
                self._sync = Sync(self._offset, self._epoch, self._ctx)
            except HubStopped:
                # The client is about to be told to come back.
                await trio.sleep_forever()
        self._waiting = None
        return events

    def pass_on(self, events: Sequence[LoggedEvent]) -> bool:
        """Send events at once, in the stead of the writer that waits for them; returns whether all of them are sent."""
        waiting = self._waiting
        if waiting is None or waiting.cancel_called or any(map(self._subject.ending, events)):
            return False  # the writer has something else to do, or will have
        # The look into `written` spares a call for each of what may be thousands of sockets.
        write = self._dialect.write
        frames = [event.written.get(write) or event.written_by(write) for event in events]
        if sent := sum(map(len, frames)) <= WRITE_BYTES and self._wire.send_now(frames):
            self._offset = events[-1].offset
        return sent

    async def _forward(self, events: list[LoggedEvent]) -> None:
        batch: list[bytes] = []
        size = 0
        for event in events:
            batch.append(event.written_by(self._dialect.write))
            size += len(batch[-1])
            ending = self._subject.ending(event)
            if ending is not None or size >= WRITE_BYTES or event is events[-1]:
                # Noted before: a frame of the reader's that is written meanwhile goes out behind these.
                self._offset = event.offset
                await self._wire.send(batch)
                batch, size = [], 0
            if ending is not None:
                self.end(NORMAL, ending)
                return

    async def _resume(self, follower: Follower, sync: Sync) -> None:
        try:
            await follower.resume(sync.last_offset, sync.epoch)
        except NotFound:
            self.end(UNKNOWN, "unknown session")
        except OrchestratorError as error:
            # The follower is where it was.
            await self.complain(error, parent_id=sync.ctx.message_id, correlation_id=sync.ctx.correlation_id)
        else:
            await self._subject.look(sync.ctx)
            await self._greet(follower, sync.ctx)
            if sync.then:
                await self._catch_up(follower)
                frames = [self._place().frame(name, data, sync.ctx.correlation_id) for name, data in sync.then]
                await self._wire.send(frames)

    async def _catch_up(self, follower: Follower) -> None:
        """Send what was in the log when it was resumed from."""
        while self._offset < follower.head and not self._ended.is_set():
            events = await self._next(follower)
            if not events:
                return  # there is something else to do first
            await self._forward(events)

    async def _greet(self, follower: Follower, ctx: RequestContext) -> None:
        """Say where the client stands; and what it needs where the log does not reach back."""
        self._offset, self._epoch = follower.offset, follower.epoch
        events = await self._subject.greeting(recovered=follower.recovered)
        await self._wire.send([self._place().frame(name, data, ctx.correlation_id) for name, data in events])
        over = self._subject.over()
        if over is not None:
            self.end(NORMAL, over)

    def _place(self) -> Place:
        return Place(self._dialect.write, self.tenant_id, self.session_id, self._offset, self._epoch)

    # Watching

    async def _watch(self, nursery: trio.Nursery) -> None:
        """Wait until the socket ends; meanwhile ping, and mind the token's time."""
        next_ping = trio.current_time() + self._ping_interval if self._wire.pings else float("inf")
        pongs = -1
        while not self._ended.is_set():
            expiry = trio.current_time() + self.principal.expires_at - time.time()
            with trio.CancelScope(deadline=min(next_ping, expiry)) as self._watching:
                await self._ended.wait()
            if self.principal.expires_at <= time.time():
                self.end(TOKEN, "token expired")
            elif trio.current_time() >= next_ping:
                if pongs == self._wire.pongs and not self.heard:
                    self.end(INTERNAL, "no pong")
                self.heard, pongs = False, self._wire.pongs
                next_ping = trio.current_time() + self._ping_interval
                nursery.start_soon(self._guard, self._wire.ping)

    async def _say_goodbye(self) -> None:
        await self._written.wait()
        goodbye = self._goodbye
        if goodbye is None:
            return
        if goodbye.name is not None:
            await self._wire.send([self._place().frame(goodbye.name, goodbye.data, self._ctx.correlation_id)])
        await self._wire.close(self._dialect.close_code(goodbye.code), goodbye.reason)
