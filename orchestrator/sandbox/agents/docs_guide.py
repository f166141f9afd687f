"""`docs-guide`: answers from the documentation, with sources."""

from typing import Any

from orchestrator.sandbox.agents.generation import gateway_call, generate
from orchestrator.sandbox.agents.turn import PlainAgent, Turn


class DocsGuideAgent(PlainAgent):
    """Embeds the question, and generates the answer, both through the orchestrator's gateway."""

    async def start(self, turn: Turn) -> None:
        """Stream the answer."""
        execution = turn.execution
        collection_id = execution.parameters.get("collection_id", "docs")
        await turn.status("searching the documentation")
        embedded = await gateway_call(
            turn, "embedding.create", {"texts": [execution.query], "collection_id": collection_id}
        )
        body: dict[str, Any] = {
            "query": execution.query,
            "query_embedding": embedded["embeddings"][0],
            "collection_id": collection_id,
            "agent_id": execution.agent_id,
            "similarity_top_k": execution.parameters.get("similarity_top_k", 4),
            "system_prompt": execution.system_prompt,
        }
        await generate(turn, body)
