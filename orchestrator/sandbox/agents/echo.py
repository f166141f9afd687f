"""`echo`: repeats the question, word by word."""

import re
from typing import Final

import trio

from orchestrator.sandbox.agents.turn import PlainAgent, Turn
from orchestrator.sandbox.serving.text import count_tokens

MAX_WORDS: Final = 100_000
BATCH: Final = 32
"""Words in one write, where no pause between them was requested."""
_SIZED: Final = re.compile(r"echo (\d{1,6}) words?(?: every (\d{1,5}) ?ms)?[.!]?", re.IGNORECASE)
_WORD: Final = re.compile(r"\s*\S+\s*")


class EchoAgent(PlainAgent):
    """Repeats the question; `echo 200 words` makes 200 words, `echo 50 words every 20 ms` pauses between them."""

    async def start(self, turn: Turn) -> None:
        """Stream the words."""
        query = turn.execution.query
        delay_ms = _delay(turn.execution.parameters)
        sized = _SIZED.fullmatch(query.strip())
        if sized is None:
            words = _WORD.findall(query)
        else:
            count = min(int(sized[1]), MAX_WORDS)
            words = [f"word{number} " for number in range(1, count)] + ([f"word{count}"] if count else [])
            delay_ms = int(sized[2]) if sized[2] else delay_ms
        turn.prompt_tokens = count_tokens(query)
        turn.completion_tokens = len(words)
        # The first word is sent alone, so that the time to the first token is short.
        step = 1 if delay_ms else BATCH
        await turn.say(*words[:1])
        for start in range(1, len(words), step):
            if delay_ms:
                await trio.sleep(delay_ms / 1000)
            await turn.say(*words[start : start + step])


def _delay(parameters: dict[str, object]) -> int:
    delay_ms = parameters.get("delay_ms", 0)
    return delay_ms if isinstance(delay_ms, int) and 0 <= delay_ms <= 60_000 else 0
