"""The load: callers with a session each, who send the next message when the last one is answered."""

from contextlib import suppress
from typing import Any, Final

import trio
from attrs import define, field, frozen

from cli.bench.figures import Figures
from cli.chat.api import TrioApi
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.follow import FollowedSession, Frame
from cli.core.interrupts import until_signalled

CLOSE_SECONDS: Final = 5.0
"""Time limit for closing all sessions at the end, beyond the duration."""
_PAUSE: Final = 0.1
"""After a refusal, in seconds: a service that refuses at once must not be asked without pause."""
_ENDED_BADLY: Final = frozenset({"failed", "cancelled", "interrupted"})


@frozen
class LoadPlan:
    """What a load does."""

    callers: int
    duration: float
    """In seconds: it ends then, whatever the service does."""
    messages: int | None
    """How many are sent at most; None: as many as the duration lets."""
    agent_id: str
    content: str


@define
class _Turn:
    """A message that was sent, and what its session has told since."""

    sent: float
    answering: bool = False
    """Whether its answer has begun."""
    error: str = ""
    ended: trio.Event = field(factory=trio.Event)


@define
class Load:
    """Runs a plan."""

    target: Target
    plan: LoadPlan
    figures: Figures = field(factory=Figures)
    sessions: list[str] = field(factory=list)
    left: int | None = field(init=False)
    began: float | None = None
    """The first message, on trio's clock."""
    elapsed: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.left = self.plan.messages

    async def run(self) -> bool:
        """Run the load and close its sessions; returns whether it was interrupted.

        Raises:
            CliFailure: the sessions can't be created or followed.
        """
        async with TrioApi(self.target) as api:
            try:
                return await until_signalled(lambda: self._calls(api)) is not None
            finally:
                now = trio.current_time()
                self.elapsed = now - (now if self.began is None else self.began)
                self.figures.live.change(0, now)
                await self._close(api)

    async def _calls(self, api: TrioApi) -> None:
        with trio.move_on_after(self.plan.duration):
            async with trio.open_nursery() as nursery:
                for _ in range(self.plan.callers):
                    nursery.start_soon(self._caller, api)

    async def _caller(self, api: TrioApi) -> None:
        session = await api.post("session.create", {"agent_id": self.plan.agent_id})
        self.sessions.append(session["session_id"])
        socket = FollowedSession(self.target, session["session_id"])
        async with socket.opened() as frames:
            while self._takes_one():
                await self._turn(api, session["session_id"], frames)

    def _takes_one(self) -> bool:
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0

    async def _turn(self, api: TrioApi, session_id: str, frames: trio.MemoryReceiveChannel[Frame]) -> None:
        turn = _Turn(trio.current_time())
        if self.began is None:
            self.began = turn.sent
            self.figures.live.change(0, turn.sent)
        self.figures.unfinished += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, turn, frames)
                try:
                    await api.post("chat.message", {"session_id": session_id, "content": self.plan.content})
                except CliFailure as failure:
                    turn.error = failure.error_code or Exit(failure.code).name.lower()
                    await trio.sleep(_PAUSE)
                else:
                    self.figures.accepted.append(trio.current_time() - turn.sent)
                    await turn.ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            if turn.answering:
                self.figures.live.change(-1, trio.current_time())
        self.figures.unfinished -= 1
        if turn.error:
            self.figures.errors[turn.error] += 1
        else:
            self.figures.turns.append(trio.current_time() - turn.sent)

    async def _hear(self, turn: _Turn, frames: trio.MemoryReceiveChannel[Frame]) -> None:
        async for frame in frames:
            if frame.name == "chat.stream" and not turn.answering:
                turn.answering = True
                now = trio.current_time()
                self.figures.first_tokens.append(now - turn.sent)
                self.figures.live.change(1, now)
            elif frame.name == "system.error":
                turn.error = frame.data["error"]["code"]
            elif frame.name == "chat.status_update" and frame.data["status"] in _ENDED_BADLY:
                turn.error = turn.error or frame.data["status"]
                turn.ended.set()
            elif frame.name == "chat.completed":
                turn.ended.set()
        turn.error = turn.error or "session_closed"
        turn.ended.set()

    async def _close(self, api: TrioApi) -> None:
        """Close the sessions, all at once and within `CLOSE_SECONDS`, also after Ctrl-C."""
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for session_id in list(self.sessions):
                    nursery.start_soon(self._close_one, api, session_id)

    async def _close_one(self, api: TrioApi, session_id: str) -> None:
        # What can't be closed now is closed by the service when it has been idle for long enough.
        with suppress(CliFailure):
            await api.delete(f"session.close/{session_id}")
            self.sessions.remove(session_id)


def told(load: Load) -> dict[str, Any]:
    """Return what a load has shown, and whose it was."""
    plan = {"callers": load.plan.callers, "agent_id": load.plan.agent_id}
    where = {"api_url": load.target.api_url, "tenant_id": load.target.tenant or None}
    return {**where, **plan, **load.figures.told(load.elapsed), "sessions_left_open": len(load.sessions)}
