"""`calculator`: has the Tool Registry's calculator work out an expression."""

import re
from typing import Final

from orchestrator.sandbox.agents.turn import ToolCall, Turn
from orchestrator.sandbox.serving.text import count_tokens

_EXPRESSION: Final = re.compile(r"(?:\d+\.?\d*|\.\d+|\b(?:sqrt|abs|round|min|max|pi)\b|[-+*/%^(),]|\s)+")


class CalculatorAgent:
    """Finds the expression in the question, asks for the tool, says the result."""

    async def start(self, turn: Turn) -> None:
        """Ask for the tool, where there is something to work out."""
        expression = find_expression(turn.execution.query)
        if expression is None:
            await _say(turn, "Give me something to work out, such as 12 * (3 + 4).")
            return
        await turn.ask_tool("calculator", {"expression": expression})

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Say what the tool said."""
        expression = call.parameters["expression"]
        if call.failed is not None:
            await _say(turn, f"I can't work out {expression}: {call.failed}")
            return
        result = (call.outcome or {}).get("result")
        if isinstance(result, float) and result.is_integer():
            result = int(result)
        await _say(turn, f"{expression} = {result}")


def find_expression(text: str) -> str | None:
    """Return the longest arithmetic expression in a text; None where it has no digit."""
    found = [match.strip().strip(",").strip() for match in _EXPRESSION.findall(text)]
    found = [match for match in found if any(letter.isdigit() for letter in match)]
    return max(found, key=len, default=None)


async def _say(turn: Turn, text: str) -> None:
    turn.prompt_tokens = count_tokens(turn.execution.query)
    turn.completion_tokens = count_tokens(text)
    await turn.say(*re.findall(r"\S+\s*", text))
