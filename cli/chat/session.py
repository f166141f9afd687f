"""A chat: a single message and its answer, or interactive at a terminal."""

from math import inf
from typing import Any, Final

import trio
from attrs import frozen

from cli.chat.conversation import Conversation, SecondInterrupt, open_conversation
from cli.chat.prompt import Prompt, PromptInterrupted, open_prompt
from cli.chat.slash import LeaveChat, handle
from cli.chat.tools import DefaultAnswerer, PromptAnswerer
from cli.core.client import TrioApi
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.interrupts import Interrupts, open_interrupts, ungrouped
from cli.core.output import note

DEFAULT_AGENT: Final = "docs-guide"
_LATE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 3.0


@frozen
class ChatRequest:
    """The options of a chat."""

    agent_id: str | None = None
    """None: that of the session, or docs-guide."""
    session_id: str | None = None
    """None: a new session."""
    message: str | None = None
    """None: an interactive chat."""
    yes: bool = False
    """Whether actions are confirmed without a user."""
    owns_stack: bool = False
    """Whether the stack ends with the chat: then it takes two Ctrl-C to leave it."""


async def run_chat(target: Target, request: ChatRequest) -> int:
    """Chat, and return the exit code.

    Raises:
        CliFailure: the service refuses a request, or can't be reached.
    """
    async with open_interrupts() as interrupts, TrioApi(target) as api:
        if request.message is not None:
            return await _ask_once(target, request, request.message, api, interrupts)
        async with open_prompt() as prompt:
            return await _talk(target, request, api, prompt, interrupts)


async def _ask_once(target: Target, request: ChatRequest, message: str, api: TrioApi, interrupts: Interrupts) -> int:
    if not message.strip():
        raise CliFailure("The message is empty.", "Give one with -m, or on standard input.", Exit.USAGE)
    session = await _session(api, request)
    tools = DefaultAnswerer(yes=request.yes)
    async with open_conversation(target, session, api, tools, interrupts) as conversation:
        try:
            turn = await conversation.ask(message)
        except SecondInterrupt:
            last = conversation.turns[-1]
            note(f"Stopped waiting for the cancellation of the turn. {last.lookup_hint}")
            return Exit.INTERRUPTED
    if conversation.interrupted:
        return Exit.INTERRUPTED
    return Exit.DONE if turn.status == "completed" else Exit.FAILED


async def _talk(target: Target, request: ChatRequest, api: TrioApi, prompt: Prompt, interrupts: Interrupts) -> int:
    session = await _session(api, request)
    session_id, tools = session["session_id"], PromptAnswerer(prompt)
    try:
        async with open_conversation(target, session, api, tools, interrupts) as conversation:
            conversation.screen.say(f"Session {session_id} with {session['agent_id']}. /help lists commands.")
            while True:
                line = await _line(prompt, interrupts, f"{conversation.session['agent_id']}> ", request)
                if line.strip():
                    await _act(conversation, line)
    except LeaveChat:
        note(f"The session stays open: nooble-orch chat --session {session_id}")
    return Exit.DONE


async def _act(conversation: Conversation, line: str) -> None:
    """Run a slash command or send a message; only an unreachable service ends the chat."""
    try:
        if not await handle(conversation, line):
            await conversation.ask(line)
    except SecondInterrupt:
        conversation.screen.say("No longer waiting for this answer.")
    except CliFailure as failure:
        if failure.code is Exit.UNREACHABLE:
            raise
        conversation.screen.say(f"{failure.message} {failure.hint}".rstrip())


async def _line(prompt: Prompt, interrupts: Interrupts, question: str, request: ChatRequest) -> str:
    answered = interrupts.quiet_since
    # The first Ctrl-C on an empty line tells what the second one does.
    pressed_at = -inf
    while True:
        try:
            with interrupts.caught() as presses, ungrouped():
                async with trio.open_nursery() as nursery:
                    if not request.owns_stack:
                        nursery.start_soon(_leave_on_interrupt, presses, answered)
                    text = await prompt.message(question)
                    nursery.cancel_scope.cancel()
        except PromptInterrupted as interrupt:
            if interrupt.line or _is_late(answered):
                continue
            now = trio.current_time()
            if request.owns_stack and now - pressed_at > _AGAIN_SECONDS:
                pressed_at = now
                note("Ctrl-C again, Ctrl-D or /quit ends the chat and the stack.")
                continue
            raise LeaveChat from None
        if text is None:
            print()
            raise LeaveChat
        return text


async def _leave_on_interrupt(presses: trio.MemoryReceiveChannel[None], answered: float) -> None:
    async for _ in presses:
        if not _is_late(answered):
            print()
            raise LeaveChat


def _is_late(answered: float) -> bool:
    """Tell whether a Ctrl-C was probably meant for the answer that has just ended."""
    return trio.current_time() - answered < _LATE_SECONDS


async def _session(api: TrioApi, request: ChatRequest) -> dict[str, Any]:
    session: dict[str, Any]
    if request.session_id is None:
        session = await api.post("session.create", {"agent_id": request.agent_id or DEFAULT_AGENT})
    else:
        session = await api.get(f"session.get/{request.session_id}")
        if request.agent_id not in {None, session["agent_id"]}:
            raise CliFailure(f"Session {request.session_id} is with {session['agent_id']}.", "", Exit.USAGE)
    return session
