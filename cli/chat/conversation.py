"""A session of a chat: messages are sent over REST, events are received over the WebSocket."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final

import trio
from attrs import define, field
from uuid_utils import uuid7

from cli.chat.api import TrioApi
from cli.chat.data_screen import DataScreen
from cli.chat.prompt import PromptInterrupted
from cli.chat.request import is_data
from cli.chat.screen import Screen, make_screen
from cli.chat.tools import ToolAnswerer
from cli.chat.turn import Turn
from cli.core.client import AWAY_SECONDS
from cli.core.confirm import counted
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.follow import FollowedSession, Frame
from cli.core.interrupts import Interrupts, ungrouped
from cli.waiting.notes import WaitNotes

_PROGRESS_SECONDS: Final = 0.1
_WAITS: Final = (0.1, 0.25, 0.5, 1.0, 2.0)
_FINAL: Final = frozenset({"completed", "failed", "cancelled", "partial"})


class SecondInterrupt(Exception):
    """A second Ctrl-C came while a turn was being cancelled."""


@define
class Conversation:
    """A session, and the turns of this chat."""

    api: TrioApi
    socket: FollowedSession
    frames: trio.MemoryReceiveChannel[Frame]
    session: dict[str, Any]
    screen: Screen
    tools: ToolAnswerer
    interrupts: Interrupts
    timeout: float
    """How long an answer is waited for, in seconds."""
    turns: list[Turn] = field(factory=list)
    is_asking: bool = False
    """Whether the user is asked for the result of a tool: then nothing is drawn over the question."""
    interrupted: bool = False
    """Whether Ctrl-C cancelled the latest turn."""

    async def ask(self, content: str) -> Turn:
        """Send a message and show its answer. Ctrl-C cancels the turn; a second one stops waiting for its end.

        Raises:
            CliFailure: the service refuses the message, or can't be reached.
            SecondInterrupt: on the second Ctrl-C.
        """
        self.interrupted = False
        turn = Turn()
        self.turns.append(turn)
        try:
            with (
                trio.move_on_after(self.timeout) as waiting,
                self.interrupts.caught() as presses,
                ungrouped(),
            ):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._cancel_on_interrupt, turn, presses)
                    nursery.start_soon(self._show_progress, turn)
                    nursery.start_soon(self._tell_waits, turn)
                    await self._send(turn, content)
                    await self._follow(turn)
                    nursery.cancel_scope.cancel()
            if waiting.cancelled_caught:
                raise no_answer(self.timeout, self.turns)
            self.screen.finish(turn)
        finally:
            self.screen.stop()
        return turn

    async def assign(self, agent_id: str, version: str | None) -> None:
        """Change the agent of the session, with `version` pinned to that version.

        Raises:
            CliFailure: the agent does not exist, or the session is busy.
        """
        wanted = {"agent_id": agent_id} | ({"version": version} if version else {})
        self.session = await self.api.put(f"agent.assign/{self.session['session_id']}", wanted)

    async def cancel(self, turn: Turn) -> None:
        """Cancel a turn; its end arrives as an event."""
        answer = await self.api.post(f"chat.cancel/{turn.message_id}")
        if not answer["cancelled"] and not turn.is_over:
            await self._look_up(turn)

    async def _send(self, turn: Turn, content: str) -> None:
        data = {"session_id": self.session["session_id"], "content": content}
        key, given_up = str(uuid7()), trio.current_time() + AWAY_SECONDS
        attempt, notes = 0, self._wait_notes()
        while not turn.message_id:
            try:
                # With the key, repeated requests send one message.
                accepted = await self.api.post("chat.message", data, key=key)
                turn.accept(accepted["message_id"], accepted["task_id"])
            except CliFailure as failure:
                if not failure.passes or trio.current_time() > given_up:
                    raise
                self._say_if(notes.of_failure(failure))
                await trio.sleep(_WAITS[min(attempt, len(_WAITS) - 1)])
                attempt += 1
        if self.interrupted:
            await self.cancel(turn)

    async def _follow(self, turn: Turn) -> None:
        while not turn.is_over:
            try:
                frame = await self.frames.receive()
            except trio.EndOfChannel:
                raise CliFailure("The session was closed.", "", Exit.FAILED) from None
            await self._take(frame, turn)

    async def _take(self, frame: Frame, turn: Turn) -> None:
        if frame.name == "session.state_update":
            if frame.data.get("recovered") is False:
                self.screen.say("Some events were lost; the answer will be shown at its end.")
                await self._look_up(turn)
        elif frame.name == "system.notification":
            self.screen.say(f"{frame.data['title']}: {frame.data['message']}")
        elif turn.apply(frame):
            self.screen.event(frame)
            self.screen.update(turn)
            if frame.name == "chat.status_update" and frame.data.get("queue_position"):
                behind = counted(frame.data["queue_position"], "other message")
                self.screen.say(f"Waiting behind {behind} of this session.")
            if frame.name == "tool.execute":
                await self._run_tool(frame.data, turn)

    async def _look_up(self, turn: Turn) -> None:
        """Read the outcome from the task, where the events with it may have been lost."""
        task = await self.api.get(f"task.get/{turn.task_id}")
        if task["status"] in _FINAL:
            turn.finish(task)
            turn.text = (turn.answer or {}).get("content", turn.text)

    async def _run_tool(self, asked: dict[str, Any], turn: Turn) -> None:
        started = time.monotonic()
        self.is_asking = True
        self.screen.pause()
        try:
            result = await self.tools.answer(asked["tool_id"], asked["params"], asked["timeout_ms"])
        except PromptInterrupted:
            self.screen.say("Cancelling …")
            await self.cancel(turn)
            return
        finally:
            self.is_asking = False
        took = round((time.monotonic() - started) * 1000, 1)
        answer = {"tool_call_id": asked["tool_call_id"], "result": {**result, "execution_time_ms": took}}
        await self.socket.send("tool.result", answer)

    async def _show_progress(self, turn: Turn) -> None:
        while True:
            await trio.sleep(_PROGRESS_SECONDS)
            if not self.is_asking:
                self.screen.progress(turn)

    async def _tell_waits(self, turn: Turn) -> None:
        """Tell what keeps the turn, where nothing comes of it for a while."""
        notes, seen = self._wait_notes(), 0
        while True:
            await trio.sleep(notes.left())
            if turn.events != seen or not turn.task_id or self.is_asking:
                seen = turn.events
                notes.moved()
                continue
            notes.looked()
            try:
                said = notes.of_wait(await self.api.get(f"task.why/{turn.task_id}"))
            except CliFailure as failure:
                # What may not be read keeps no chat from its answer.
                said = notes.of_failure(failure) if failure.passes else ""
            if not turn.is_over:
                self._say_if(said)

    def _wait_notes(self) -> WaitNotes:
        return WaitNotes("The turn", trio.current_time)

    def _say_if(self, text: str) -> None:
        if text:
            self.screen.say(text)

    async def _cancel_on_interrupt(self, turn: Turn, presses: trio.MemoryReceiveChannel[None]) -> None:
        async for _ in presses:
            if self.interrupted:
                raise SecondInterrupt
            self.interrupted = True
            self.screen.say("Cancelling …")
            if turn.message_id:
                await self.cancel(turn)


@asynccontextmanager
async def open_conversation(
    target: Target,
    session: dict[str, Any],
    api: TrioApi,
    tools: ToolAnswerer,
    interrupts: Interrupts,
    timeout: float = inf,
) -> AsyncIterator[Conversation]:
    """Connect to a session; `timeout` is how long an answer is waited for, in seconds."""
    screen = DataScreen(session["session_id"]) if is_data() else make_screen()
    api.tell = screen.say
    socket = FollowedSession(target, session["session_id"], tell=screen.say)
    async with socket.opened() as frames:
        yield Conversation(api, socket, frames, session, screen, tools, interrupts, timeout)


def no_answer(seconds: float, turns: list[Turn]) -> CliFailure:
    """Return the failure of a message, the last one of `turns`, that is not answered in time."""
    hint = turns[-1].lookup_hint if turns and turns[-1].task_id else ""
    return CliFailure(f"There was no answer within {seconds:g} s.", hint, Exit.INCOMPLETE)
