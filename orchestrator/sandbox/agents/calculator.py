"""`calculator`: evaluates an expression with the Tool Registry's calculator."""

import re
from typing import Final

from orchestrator.sandbox.agents.turn import ToolCall, Turn

_EXPRESSION: Final = re.compile(r"(?:\d+\.?\d*|\.\d+|\b(?:sqrt|abs|round|min|max|pi)\b|[-+*/%^(),]|\s)+")


class CalculatorAgent:
    """Finds the expression in the question, calls the tool, and reports the result."""

    async def start(self, turn: Turn) -> None:
        """Call the tool, where the question has an expression."""
        expression = find_expression(turn.execution.query)
        if expression is None:
            await turn.answer("Give me something to work out, such as 12 * (3 + 4).")
            return
        await turn.ask_tool("calculator", {"expression": expression})

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Report the result."""
        expression = call.parameters["expression"]
        if call.failed is not None:
            await turn.answer(f"I can't work out {expression}: {call.failed}")
            return
        result = (call.outcome or {}).get("result")
        if isinstance(result, float) and result.is_integer():
            result = int(result)
        await turn.answer(f"{expression} = {result}")


def find_expression(text: str) -> str | None:
    """Return the longest arithmetic expression in a text; None where it has no digit."""
    found = [match.strip().strip(",").strip() for match in _EXPRESSION.findall(text)]
    found = [match for match in found if any(letter.isdigit() for letter in match)]
    return max(found, key=len, default=None)
