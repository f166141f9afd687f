"""`reporter`: has the Tool Registry write a report, which takes its time."""

import re
from typing import Final

from orchestrator.sandbox.agents.turn import ToolCall, Turn
from orchestrator.sandbox.serving.text import count_tokens

_TIMED: Final = re.compile(r"(.+) in (\d{1,5}) ?ms[.!]?", re.IGNORECASE)
LONGEST_MS: Final = 60_000


class ReporterAgent:
    """Asks for the tool `slow_report`, and says what it wrote; `tides in 300 ms` has it take so long."""

    async def start(self, turn: Turn) -> None:
        """Ask for the report."""
        topic = turn.execution.query.strip()
        timed = _TIMED.fullmatch(topic)
        if timed is None:
            await turn.ask_tool("slow_report", {"topic": topic})
        else:
            await turn.ask_tool("slow_report", {"topic": timed[1], "duration_ms": min(int(timed[2]), LONGEST_MS)})

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Say what was written."""
        result = (call.outcome or {}).get("result")
        text = f"There is no report: {call.failed}" if call.failed is not None else str((result or {}).get("report"))
        turn.prompt_tokens = count_tokens(turn.execution.query)
        turn.completion_tokens = count_tokens(text)
        await turn.say(*re.findall(r"\S+\s*", text))
