"""Calls of client tools, which the user answers."""

import json
from typing import Any, Final, Protocol

import trio

from cli.chat.prompt import Prompt
from cli.display.glyphs import printable

CONFIRM: Final = "confirm_action"
_TRIES: Final = 3


class ToolAnswerer(Protocol):
    """Answers `tool.execute` events."""

    async def answer(self, tool_id: str, params: dict[str, Any], timeout_ms: int) -> dict[str, Any]:
        """Return `result` of `tool.result`: status, data, error_message."""


class DefaultAnswerer:
    """Answers without a user: confirms actions with `--yes`, else declines."""

    def __init__(self, *, yes: bool) -> None:
        self._yes = yes

    async def answer(self, tool_id: str, params: dict[str, Any], timeout_ms: int) -> dict[str, Any]:
        """Answer at once."""
        await trio.lowlevel.checkpoint()
        if tool_id == CONFIRM:
            return _success({"confirmed": self._yes})
        return _error(f"The tool '{tool_id}' needs a user at a terminal.")


class PromptAnswerer:
    """Asks the user at the terminal, within the timeout of the tool."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    async def answer(self, tool_id: str, params: dict[str, Any], timeout_ms: int) -> dict[str, Any]:
        """Ask for y or n for `confirm_action`, else for JSON.

        Raises:
            PromptInterrupted: on Ctrl-C.
        """
        with trio.move_on_after(timeout_ms / 1000):
            if tool_id == CONFIRM:
                return _success({"confirmed": await self._yes_or_no(params)})
            return await self._json(tool_id, params)
        return _error("The user did not answer in time.")

    async def _yes_or_no(self, params: dict[str, Any]) -> bool:
        asked = next((params[name] for name in ("message", "question", "prompt", "action") if params.get(name)), params)
        question = printable(asked if isinstance(asked, str) else json.dumps(asked))
        line = await self._prompt.line(f"The agent asks: {question} [y/n] ")
        while line is not None and line.strip().lower() not in {"y", "yes", "n", "no"}:
            line = await self._prompt.line("y or n? ")
        return line is not None and line.strip().lower().startswith("y")

    async def _json(self, tool_id: str, params: dict[str, Any]) -> dict[str, Any]:
        question = f"The agent calls your tool {tool_id}({json.dumps(params)}).\nIts result as JSON (empty: decline): "
        for _ in range(_TRIES):
            line = await self._prompt.line(printable(question))
            if not line or not line.strip():
                return _error("The user declined.")
            try:
                return _success(json.loads(line))
            except ValueError as error:
                question = f"That is no JSON ({error}). Again: "
        return _error("The user gave no JSON.")


def _success(data: Any) -> dict[str, Any]:
    return {"status": "success", "data": data}


def _error(message: str) -> dict[str, Any]:
    return {"status": "error", "error_message": message}
