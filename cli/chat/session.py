"""A chat: a single message and its answer, or interactive at a terminal."""

from contextlib import suppress
from math import inf
from typing import Any, Final

import trio
from attrs import define

from cli.chat.api import TrioApi
from cli.chat.conversation import Conversation, SecondInterrupt, no_answer, open_conversation
from cli.chat.prompt import Prompt, PromptInterrupted, open_prompt
from cli.chat.request import ChatRequest
from cli.chat.slash import AGENTS_SHOWN, COMMANDS, LeaveChat, handle
from cli.chat.tools import DefaultAnswerer, PromptAnswerer
from cli.chat.turn import Turn
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.interrupts import Interrupted, Interrupts, open_interrupts, ungrouped
from cli.core.output import note

DEFAULT_AGENT: Final = "docs-guide"
_CLOSED: Final = frozenset({"TERMINATED", "ARCHIVED", "FAILED"})
_LOOKED_AT: Final = 50
"""Sessions that `--continue` looks at, for one that is not closed."""
_AGENTS_SECONDS: Final = 0.5
"""How long the first prompt waits at most for the agents that Tab completes."""
_LATE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 2.0


async def run_chat(target: Target, request: ChatRequest) -> int:
    """Chat, and return the exit code.

    Raises:
        CliFailure: the service refuses a request, or can't be reached.
    """
    async with open_interrupts() as interrupts, TrioApi(target) as api:
        if request.message is not None:
            return await _ask_once(target, request, request.message, api, interrupts)
        async with open_prompt(list(COMMANDS)) as prompt:
            return await _talk(target, request, api, prompt, interrupts)


async def _ask_once(target: Target, request: ChatRequest, message: str, api: TrioApi, interrupts: Interrupts) -> int:
    if not message.strip():
        raise CliFailure("The message is empty.", "Give one with -m, or on standard input.", Exit.USAGE)
    turns: list[Turn] = []
    with trio.move_on_after(request.timeout):
        session = await _session(api, request)
        tools = DefaultAnswerer(yes=request.yes)
        async with open_conversation(target, session, api, tools, interrupts) as conversation:
            turns = conversation.turns
            try:
                turn = await conversation.ask(message)
            except SecondInterrupt:
                note(f"Stopped waiting for the cancellation of the turn. {turns[-1].lookup_hint}")
                return Exit.INTERRUPTED
        if conversation.interrupted:
            return Exit.INTERRUPTED
        return Exit.DONE if turn.status == "completed" else Exit.FAILED
    raise no_answer(request.timeout, turns)


async def _talk(target: Target, request: ChatRequest, api: TrioApi, prompt: Prompt, interrupts: Interrupts) -> int:
    session = await _session(api, request)
    session_id, tools = session["session_id"], PromptAnswerer(prompt)
    try:
        async with open_conversation(target, session, api, tools, interrupts, request.timeout) as conversation:
            conversation.screen.say(f"Session {session_id} with {session['agent_id']}. /help lists commands.")
            await _learn_agents(api, prompt)
            while True:
                line = await _line(prompt, interrupts, f"{conversation.session['agent_id']}> ", request)
                if line.strip():
                    await _act(conversation, line)
    except LeaveChat:
        note(f"The session stays open: nooble-orch chat --session {session_id}")
    return Exit.DONE


async def _learn_agents(api: TrioApi, prompt: Prompt) -> None:
    """Have Tab complete the agents; where they can't be had, it completes none."""
    with trio.move_on_after(_AGENTS_SECONDS), suppress(CliFailure):
        agents = (await api.get("agent.list", limit=AGENTS_SHOWN))["items"]
        prompt.following["/agent"] = [agent["agent_id"] for agent in agents]


async def _act(conversation: Conversation, line: str) -> None:
    """Run a slash command or send a message; only an unreachable service ends the chat."""
    try:
        if not await conversation.interrupts.until_pressed(handle, conversation, line):
            await conversation.ask(line)
    except Interrupted:
        conversation.screen.say("No longer waiting.")
    except SecondInterrupt:
        conversation.screen.say("No longer waiting for this answer.")
    except CliFailure as failure:
        if failure.code is Exit.UNREACHABLE:
            raise
        conversation.screen.say(f"{failure.message} {failure.hint}".rstrip())


async def _line(prompt: Prompt, interrupts: Interrupts, question: str, request: ChatRequest) -> str:
    leaving = _Leaving(interrupts.quiet_since, request.owns_stack)
    while True:
        try:
            with interrupts.caught() as presses, ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_leave_on_interrupt, presses, leaving)
                    text = await prompt.message(question)
                    nursery.cancel_scope.cancel()
        except PromptInterrupted as interrupt:
            if not interrupt.line:
                leaving.press()
            continue
        if text is None:
            print()
            raise LeaveChat
        return text


async def _leave_on_interrupt(presses: trio.MemoryReceiveChannel[None], leaving: "_Leaving") -> None:
    async for _ in presses:
        print()
        leaving.press()


@define
class _Leaving:
    """Two Ctrl-C in a row on an empty line leave a chat; the first one only says so."""

    answered: float
    """The end of the last answer, on trio's clock."""
    owns_stack: bool
    """Whether the stack ends with the chat."""
    pressed: float = -inf

    def press(self) -> None:
        """Note a Ctrl-C on an empty line.

        Raises:
            LeaveChat: it leaves the chat.
        """
        now = trio.current_time()
        # One that comes right after an answer was probably meant for it.
        if now - self.answered < _LATE_SECONDS:
            return
        if now - self.pressed <= _AGAIN_SECONDS:
            raise LeaveChat
        self.pressed = now
        note(
            f"Press Ctrl-C again to leave{' and to stop the stack' if self.owns_stack else ''}; so do Ctrl-D and /quit."
        )


async def _session(api: TrioApi, request: ChatRequest) -> dict[str, Any]:
    session: dict[str, Any]
    if request.continues:
        return await _last_session(api, request.agent_id)
    if request.session_id is None:
        session = await api.post("session.create", {"agent_id": request.agent_id or DEFAULT_AGENT})
    else:
        session = await api.get(f"session.get/{request.session_id}")
        if request.agent_id not in {None, session["agent_id"]}:
            raise CliFailure(f"Session {request.session_id} is with {session['agent_id']}.", "", Exit.USAGE)
    return session


async def _last_session(api: TrioApi, agent_id: str | None) -> dict[str, Any]:
    """Return the session of the user that was active last, of those that take messages."""
    for session in (await api.get("session.list", limit=_LOOKED_AT, agent_id=agent_id))["items"]:
        if session["state"] not in _CLOSED:
            return dict(session)
    with_agent = f" with {agent_id}" if agent_id else ""
    raise CliFailure(
        f"There is no session{with_agent} to continue.", "Without --continue a new one begins.", Exit.NOT_FOUND
    )
