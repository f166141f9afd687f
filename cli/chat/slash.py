"""Slash commands of a chat."""

import shutil
from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import frozen

from cli.chat.conversation import Conversation
from cli.display.waterfall import waterfall

HISTORY_LENGTH: Final = 20
AGENTS_SHOWN: Final = 50


class LeaveChat(Exception):
    """The user has left the chat."""


@frozen
class _Command:
    summary: str
    run: Callable[[Conversation, str], Awaitable[None]]


async def handle(conversation: Conversation, line: str) -> bool:
    """Run a slash command such as `/state`; returns false if the line is a message.

    Raises:
        LeaveChat: on `/quit`.
    """
    # What is pasted may begin with a slash too, such as a path, and has several lines.
    if not line.startswith("/") or "\n" in line.strip():
        return False
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        conversation.screen.say(f"There is no command {name}; /help lists them.")
    else:
        await command.run(conversation, argument.strip())
    return True


async def _help(conversation: Conversation, _: str) -> None:
    for name, command in COMMANDS.items():
        conversation.screen.say(f"{name:<12} {command.summary}")
    conversation.screen.say('Several lines: end a line with \\, or put """ before the first and after the last.')
    conversation.screen.say("Lines that are pasted together are one message. Tab completes these commands, and agents.")
    conversation.screen.say("Ctrl-C cancels an answer; two on an empty line leave the chat.")


async def _state(conversation: Conversation, _: str) -> None:
    session = await conversation.api.get(f"session.get/{conversation.session['session_id']}")
    for name in ("session_id", "agent_id", "state", "message_count", "created_at", "active_task_id"):
        if session.get(name) is not None:
            conversation.screen.say(f"{name:<16} {session[name]}")


async def _history(conversation: Conversation, _: str) -> None:
    route = f"chat.history/{conversation.session['session_id']}"
    messages = (await conversation.api.get(route, limit=HISTORY_LENGTH))["items"]
    for message in messages:
        conversation.screen.say(f"{message['role']}: {message['content']}")
    if not messages:
        conversation.screen.say("There are no messages yet.")


async def _cancel(conversation: Conversation, _: str) -> None:
    # The chat waits for its own turns, so a turn that runs now is one of another client.
    session = await conversation.api.get(f"session.get/{conversation.session['session_id']}")
    task_id = session.get("active_task_id")
    if task_id is None:
        conversation.screen.say("Nothing is running.")
        return
    cancelled = (await conversation.api.post(f"task.cancel/{task_id}"))["cancelled"]
    conversation.screen.say(f"Task {task_id} was cancelled." if cancelled else f"Task {task_id} had already ended.")


async def _agent(conversation: Conversation, argument: str) -> None:
    name, _, version = argument.partition(" ")
    if name:
        await conversation.assign(name, version.strip() or None)
        return
    for agent in (await conversation.api.get("agent.list", limit=AGENTS_SHOWN))["items"]:
        mark = "*" if agent["agent_id"] == conversation.session["agent_id"] else " "
        conversation.screen.say(f"{mark} {agent['agent_id']:<16} {agent['version']:<8} {agent['description']}".rstrip())
    conversation.screen.say("/agent NAME changes the agent of the session; NAME VERSION pins its version.")


async def _trace(conversation: Conversation, _: str) -> None:
    if not conversation.turns:
        conversation.screen.say("There is no turn yet.")
        return
    turn = conversation.turns[-1]
    for name in ("message_id", "task_id", "status"):
        conversation.screen.say(f"{name:<16} {getattr(turn, name)}")
    timeline = await conversation.api.get(f"task.trace/{turn.correlation_id}")
    for line in waterfall(timeline, min(shutil.get_terminal_size().columns, 120)):
        conversation.screen.say(line)


async def _usage(conversation: Conversation, _: str) -> None:
    answers = [turn.answer for turn in conversation.turns if turn.answer]
    totals = {
        name: sum(_tokens(answer, name) for answer in answers)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    conversation.screen.say(f"Answers of this chat: {len(answers)}")
    for name, total in totals.items():
        conversation.screen.say(f"{name:<18} {total:>8}")


async def _quit(_: Conversation, __: str) -> None:
    raise LeaveChat


def _tokens(answer: dict[str, Any], name: str) -> int:
    return int((answer.get("usage") or {}).get(name, 0))


COMMANDS: Final = {
    "/help": _Command("lists the commands", _help),
    "/state": _Command("shows the session", _state),
    "/history": _Command(f"shows its last {HISTORY_LENGTH} messages", _history),
    "/cancel": _Command("cancels the running turn of the session", _cancel),
    "/agent": _Command("lists agents; NAME [VERSION]: changes the agent of the session", _agent),
    "/trace": _Command("shows the timeline of the last turn", _trace),
    "/usage": _Command("shows the tokens of this chat's answers", _usage),
    "/quit": _Command("leaves the chat; the session stays open", _quit),
}
