"""`confirm`: asks the user for a confirmation, by a tool of the client."""

import re
from typing import Any

from orchestrator.sandbox.agents.turn import ToolCall, Turn


class ConfirmAgent:
    """Calls the client's tool `confirm_action`, and reports the outcome."""

    async def start(self, turn: Turn) -> None:
        """Call the tool."""
        await turn.ask_tool("confirm_action", {"action": turn.execution.query})

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Report whether the action was confirmed, declined, or not answered."""
        await turn.answer(_verdict(call))


def _verdict(call: ToolCall) -> str:
    action = call.parameters["action"]
    if call.failed is not None:
        timed_out = re.search(r"time[d]?[ -]?out|in time", call.failed, re.IGNORECASE)
        if timed_out:
            return f"Timed out: it was not confirmed in time, so nothing was done: {action}"
        return f"Not confirmed ({call.failed.rstrip('.')}), so nothing was done: {action}"
    if _agreed((call.outcome or {}).get("result")):
        return f"Confirmed: {action}"
    return f"Declined, so nothing was done: {action}"


def _agreed(result: Any) -> bool:
    if isinstance(result, dict):
        result = result.get("confirmed", result.get("approved", False))
    if isinstance(result, str):
        return result.strip().lower() in {"y", "yes", "ok", "true", "confirmed"}
    return result is True
