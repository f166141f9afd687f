"""The prompt of a chat: single lines, messages of several lines, what is pasted, completion, history.

`input()` with readline edits lines, but blocks; the libraries that edit lines asynchronously run on asyncio. So
`input()` runs in a thread, the only one of the command line. A thread that waits for the keyboard can't be cancelled,
only abandoned. That is why there is a single reader, and why a line whose question was cancelled is read and dropped
before the next question.
"""

import os
import readline
import sys
import termios
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

from cli.core.devfile import home
from cli.core.interrupts import ungrouped
from cli.core.output import note
from cli.core.terminal import restored_terminal

_HISTORY_LENGTH: Final = 1000
_CTRL_C: Final = "\x03"
_QUOTES: Final = '"""'
_LINE_BREAK: Final = "\x1f"
"""Stands for a line break in the file of the history, whose entries are lines."""


class PromptInterrupted(Exception):
    """The user pressed Ctrl-C; `line` tells whether the line had text."""

    def __init__(self, *, line: bool) -> None:
        super().__init__()
        self.line = line


class Prompt:
    """Asks for lines; created by `open_prompt`."""

    def __init__(self, questions: trio.MemorySendChannel[str], lines: trio.MemoryReceiveChannel[str | None]) -> None:
        self._questions = questions
        self._lines = lines
        self._abandoned = False
        self.following: dict[str, Sequence[str]] = {}
        """What Tab completes behind a word that begins a line."""

    async def line(self, question: str) -> str | None:
        """Ask for one line; None at the end of the input.

        Raises:
            PromptInterrupted: on Ctrl-C.
        """
        if self._abandoned:
            print("(Enter to continue) ", end="", flush=True)
            await self._lines.receive()
            self._abandoned = False
        await self._questions.send(question)
        self._abandoned = True
        line = await self._lines.receive()
        self._abandoned = False
        if line is not None and line.startswith(_CTRL_C):
            raise PromptInterrupted(line=len(line) > 1)
        return line

    async def message(self, question: str) -> str | None:
        r"""Ask for a message: a line, continued after each `\` at an end of line, or the lines between two `\"\"\"`."""
        line = await self.line(question)
        if line is None:
            return None
        if line.lstrip().startswith(_QUOTES):
            return await self._quoted(line.lstrip()[len(_QUOTES) :])
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            following = await self.line("… ")
            if following is None:
                break
            lines.append(following)
        return "\n".join(lines)

    async def _quoted(self, first: str) -> str:
        lines, line = [], first
        while _QUOTES not in line:
            lines.append(line)
            following = await self.line("… ")
            if following is None:
                return "\n".join(lines).strip("\n")
            line = following
        lines.append(line[: line.index(_QUOTES)])
        return "\n".join(lines).strip("\n")


@asynccontextmanager
async def open_prompt(words: Sequence[str] = ()) -> AsyncIterator[Prompt]:
    """Read from the terminal inside the block, and restore its attributes after it.

    Args:
        words: what Tab completes at the beginning of a line.
    """
    questions, asked = trio.open_memory_channel[str](0)
    given, lines = trio.open_memory_channel[str | None](1)
    prompt = Prompt(questions, lines)
    with restored_terminal(), _history(), _completion(words, prompt.following), ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, asked, given)
            yield prompt
            nursery.cancel_scope.cancel()


async def _read(asked: trio.MemoryReceiveChannel[str], given: trio.MemorySendChannel[str | None]) -> None:
    async for question in asked:
        # Abandoned when the chat ends: only a key can end the thread, and it holds nothing but stdin.
        await given.send(await trio.to_thread.run_sync(_input, question, abandon_on_cancel=True))


def _input(question: str) -> str | None:
    with _ctrl_c_as_key():
        try:
            return input(question)
        except EOFError:
            return None


@contextmanager
def _ctrl_c_as_key() -> Iterator[None]:
    """Make Ctrl-C a key of readline: as a signal it would reach the main thread, which can't end the line.

    The key is bound in `_history`: it inserts itself at the beginning of the line, and submits the line.
    """
    if not _gnu_readline():
        yield
        return
    with restored_terminal() as before:
        *modes, characters = before
        # Readline enables ISIG again, but keeps the control characters: without VINTR no key sends SIGINT.
        without = [*characters]
        without[termios.VINTR] = b"\0"
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, [*modes, without])
        yield


@contextmanager
def _history() -> Iterator[None]:
    path = history_path()
    # A home that can't be written, as in a container, keeps no chat from being held.
    with _noted(path, "read"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            readline.read_history_file(path)
            _replace_in_history(_LINE_BREAK, "\n")
    readline.set_history_length(_HISTORY_LENGTH)
    if _gnu_readline():
        # A terminal that marks what is pasted lets all its lines be one message.
        readline.parse_and_bind("set enable-bracketed-paste on")
        readline.parse_and_bind(r'"\C-c": "\C-a\C-v\C-c\C-m"')
    try:
        yield
    finally:
        with _noted(path, "kept"):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.close(descriptor)
            _replace_in_history("\n", _LINE_BREAK)
            readline.write_history_file(path)


@contextmanager
def _noted(path: Path, verb: str) -> Iterator[None]:
    """Have a fault of the system inside the block be no more than a note."""
    try:
        yield
    except OSError as error:
        note(f"The history of chats can't be {verb} in {path.parent}: {error.strerror}.")


def _replace_in_history(old: str, new: str) -> None:
    for at in range(readline.get_current_history_length()):
        entry = readline.get_history_item(at + 1)
        if old in entry:
            readline.replace_history_item(at, entry.replace(old, new))


@contextmanager
def _completion(words: Sequence[str], following: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Complete words by Tab inside the block: those that begin a line, and those that follow one of them."""

    def complete(text: str, number: int) -> str | None:
        begin = readline.get_begidx()
        known = following.get(readline.get_line_buffer()[:begin].strip(), ()) if begin else words
        found = [f"{word} " for word in known if (text or begin) and word.startswith(text)]
        return found[number] if number < len(found) else None

    before, delimiters = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    # A slash begins a command, and is no delimiter.
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete" if _gnu_readline() else "bind ^I rl_complete")
    # One Tab behind a slash shows what there is, as in the shells that people come from.
    readline.parse_and_bind("set show-all-if-ambiguous on")
    try:
        yield
    finally:
        readline.set_completer(before)
        readline.set_completer_delims(delimiters)


def history_path() -> Path:
    """Return the path of the history of earlier chats."""
    base = os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state"
    return Path(base) / "nooble-orch" / "history"


def _gnu_readline() -> bool:
    return "libedit" not in (readline.__doc__ or "")
