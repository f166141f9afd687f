"""A whole chat: a single question, or an evening at the terminal."""

from typing import Any, Final

import trio
from attrs import frozen

from cli.chat.conversation import Conversation, SecondInterrupt
from cli.chat.prompt import LeftOff, Prompt, open_prompt
from cli.chat.screen import make_screen
from cli.chat.slash import Leave, handle
from cli.chat.tools import NobodyAnswers, PersonAnswers, ToolAnswerer
from cli.core.client import TrioApi
from cli.core.context import Target
from cli.core.failures import CliFailure, Exit
from cli.core.interrupts import Interrupts, open_interrupts, ungrouped
from cli.core.output import note

DEFAULT_AGENT: Final = "docs-guide"
_LATE_SECONDS: Final = 1.0


@frozen
class Wish:
    """What a chat is to be."""

    agent_id: str | None = None
    """None: the session's own, or docs-guide."""
    session_id: str | None = None
    """None: a new session."""
    message: str | None = None
    """None: an interactive chat."""
    yes: bool = False
    """Whether actions are confirmed where nobody can be asked."""


async def run_chat(target: Target, wish: Wish) -> int:
    """Chat, and return the exit code.

    Raises:
        CliFailure: the service refuses, or stays away.
    """
    async with open_interrupts() as interrupts, TrioApi(target) as api:
        if wish.message is not None:
            return await _ask_once(target, wish, wish.message, api, interrupts)
        async with open_prompt() as prompt:
            return await _talk(target, wish, api, prompt, interrupts)


async def _ask_once(target: Target, wish: Wish, message: str, api: TrioApi, interrupts: Interrupts) -> int:
    if not message.strip():
        raise CliFailure("There is nothing to ask.", "Give a message with -m, or on standard input.", Exit.USAGE)
    session = await _session(api, wish)
    tools = NobodyAnswers(yes=wish.yes)
    async with Conversation.open(target, session, api, make_screen(), tools, interrupts) as conversation:
        try:
            turn = await conversation.ask(message)
        except SecondInterrupt:
            last = conversation.turns[-1]
            note(f"Left while the turn was being cancelled. {conversation.where_it_stands(last)}")
            return Exit.INTERRUPTED
    if conversation.interrupted:
        return Exit.INTERRUPTED
    return Exit.DONE if turn.status == "completed" else Exit.FAILED


async def _talk(target: Target, wish: Wish, api: TrioApi, prompt: Prompt, interrupts: Interrupts) -> int:
    tools = PersonAnswers(prompt)
    session = await _session(api, wish)
    try:
        await _talk_with(target, session, api, prompt, tools, interrupts)
    except Leave:
        note(f"The session is kept: nooble-orch chat --session {session['session_id']}")
    return Exit.DONE


async def _talk_with(
    target: Target,
    session: dict[str, Any],
    api: TrioApi,
    prompt: Prompt,
    tools: ToolAnswerer,
    interrupts: Interrupts,
) -> None:
    async with Conversation.open(target, session, api, make_screen(), tools, interrupts) as conversation:
        conversation.screen.say(f"Session {session['session_id']} with {session['agent_id']}. /help lists commands.")
        while True:
            line = await _line(prompt, interrupts, f"{conversation.session['agent_id']}> ")
            if not line.strip():
                continue
            try:
                if not await handle(conversation, line):
                    await conversation.ask(line)
            except SecondInterrupt:
                conversation.screen.say("No longer waiting for this answer.")
            except CliFailure as failure:
                if failure.code is Exit.UNREACHABLE:
                    raise
                conversation.screen.say(" ".join(part for part in (failure.message, failure.hint) if part))


async def _line(prompt: Prompt, interrupts: Interrupts, question: str) -> str:
    answered = interrupts.quiet_since
    while True:
        try:
            with interrupts.caught() as presses, ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_leave_on_interrupt, presses, answered)
                    text = await prompt.message(question)
                    nursery.cancel_scope.cancel()
        except LeftOff as left:
            if left.line or _is_late(answered):
                continue
            raise Leave from None
        if text is None:
            print()
            raise Leave
        return text


async def _leave_on_interrupt(presses: trio.MemoryReceiveChannel[None], answered: float) -> None:
    async for _ in presses:
        if not _is_late(answered):
            print()
            raise Leave


def _is_late(answered: float) -> bool:
    """Tell whether a Ctrl-C was meant for the answer that has just ended."""
    return trio.current_time() - answered < _LATE_SECONDS


async def _session(api: TrioApi, wish: Wish) -> dict[str, Any]:
    session: dict[str, Any]
    if wish.session_id is None:
        session = await api.post("session.create", {"agent_id": wish.agent_id or DEFAULT_AGENT})
    else:
        session = await api.get(f"session.get/{wish.session_id}")
        if wish.agent_id not in {None, session["agent_id"]}:
            raise CliFailure(f"Session {wish.session_id} is with {session['agent_id']}.", "", Exit.USAGE)
    return session
