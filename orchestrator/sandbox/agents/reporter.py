"""`reporter`: writes a report with a slow tool of the Tool Registry."""

import re
from typing import Final

from orchestrator.sandbox.agents.turn import ToolCall, Turn

_TIMED: Final = re.compile(r"(.+) in (\d{1,5}) ?ms[.!]?", re.IGNORECASE)
LONGEST_MS: Final = 60_000


class ReporterAgent:
    """Calls the tool `slow_report`, and passes its report on; `tides in 300 ms` sets the duration."""

    async def start(self, turn: Turn) -> None:
        """Call the tool."""
        topic = turn.execution.query.strip()
        timed = _TIMED.fullmatch(topic)
        if timed is None:
            await turn.ask_tool("slow_report", {"topic": topic})
        else:
            await turn.ask_tool("slow_report", {"topic": timed[1], "duration_ms": min(int(timed[2]), LONGEST_MS)})

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Report the outcome."""
        result = (call.outcome or {}).get("result")
        text = f"There is no report: {call.failed}" if call.failed is not None else str((result or {}).get("report"))
        await turn.answer(text)
