"""Generation through the orchestrator's gateway, streamed as the agent's answer."""

from typing import Any

import orjson

from orchestrator.sandbox.agents.turn import AgentFailed, Turn
from orchestrator.sandbox.serving.gateway import GatewayRefused, read_data
from orchestrator.sandbox.serving.http_client import streamed_lines


async def gateway_call(turn: Turn, route: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call the orchestrator's gateway.

    Raises:
        AgentFailed: the gateway is away, or refused.
    """
    execution = turn.execution
    try:
        return await turn.gateway.ask(
            execution.tenant_id,
            route,
            body,
            correlation_id=execution.correlation_id,
            traceparent=execution.traceparent,
        )
    except GatewayRefused as error:
        raise AgentFailed("AGEX_CONN_001", str(error), retryable=True) from error


async def generate(turn: Turn, body: dict[str, Any]) -> None:
    """Stream the answer of `query.generate`, which may come in lines or whole.

    Raises:
        AgentFailed: the gateway is away, refused, or broke off.
    """
    execution = turn.execution
    try:
        async with turn.gateway.stream(
            execution.tenant_id,
            "query.generate",
            {**body, "stream": True},
            correlation_id=execution.correlation_id,
            traceparent=execution.traceparent,
        ) as response:
            if response.headers.get("content-type", "").startswith("application/json"):
                data = read_data("query.generate", await response.aread())
                await turn.say(data["response"])
                _conclude(turn, data, data.get("metadata", {}))
                return
            done = False
            async with streamed_lines(response) as lines:
                async for line in lines:
                    if line.strip():
                        done = await _take(turn, orjson.loads(line))
            if not done:
                raise AgentFailed("AGEX_CONN_002", "query.generate broke off.", retryable=True)
    except GatewayRefused as error:
        raise AgentFailed("AGEX_CONN_001", str(error), retryable=True) from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise AgentFailed("AGEX_CONN_002", "query.generate answered nonsense.", retryable=True) from error


async def _take(turn: Turn, chunk: dict[str, Any]) -> bool:
    """Handle one line of the stream; returns true for the last one."""
    match chunk["type"]:
        case "chunk":
            await turn.say(chunk["content"])
        case "error":
            raise AgentFailed("AGEX_LLM_002", chunk["error"]["message"], retryable=True)
        case "done":
            _conclude(turn, chunk["data"], chunk["metadata"])
            return True
    return False


def _conclude(turn: Turn, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    usage = metadata.get("token_usage") or data.get("usage") or {}
    turn.sources = data.get("sources", [])
    turn.prompt_tokens = usage.get("prompt_tokens", 0)
    turn.completion_tokens = usage.get("completion_tokens", 0)
