"""`llm`: a plain language model, called through the orchestrator's gateway."""

from typing import Any

from orchestrator.sandbox.agents.generation import generate
from orchestrator.sandbox.agents.turn import AgentFailed, PlainAgent, Turn


class LlmAgent(PlainAgent):
    """Sends the conversation to the model, where one is configured."""

    async def start(self, turn: Turn) -> None:
        """Stream the model's answer."""
        if not turn.model.configured:
            raise AgentFailed(
                "AGEX_LLM_001",
                "No language model is configured: set OPENAI_BASE_URL and OPENAI_API_KEY for the sandbox.",
            )
        execution = turn.execution
        body: dict[str, Any] = {
            "query": execution.query,
            "agent_id": execution.agent_id,
            "system_prompt": execution.system_prompt,
            "messages": execution.context.get("messages", []),
        }
        await generate(turn, body)
