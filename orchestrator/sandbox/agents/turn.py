"""One turn of a sandbox agent: the execution, its state, and the stream of its output."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Protocol

import orjson
import trio
from attrs import define, field

from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.model_server import ModelServer
from orchestrator.sandbox.serving.text import count_tokens


class ExecutionStatus(StrEnum):
    """State of an execution."""

    RUNNING = "running"
    WAITING = "waiting"
    """Waits for the result of a tool."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    """Its client has disconnected."""


class AgentFailed(Exception):
    """An agent has failed.

    Args:
        code: the service's own code.
        message: one sentence.
        retryable: whether a later attempt may succeed.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


@define
class ToolCall:
    """A tool call of an agent, and its outcome."""

    tool_call_id: str
    tool_id: str
    parameters: dict[str, Any]
    outcome: dict[str, Any] | None = None

    @property
    def failed(self) -> str | None:
        """Reason of the failure; None where there is a result."""
        outcome = self.outcome or {}
        if outcome.get("status") in {"success", "completed"}:
            return None
        return str(outcome.get("error_message") or "the tool failed")


@define
class SandboxExecution:
    """One execution of an agent, from the question to the answer, over several requests where it calls tools."""

    task_id: str
    tenant_id: str
    agent_id: str
    query: str
    parameters: dict[str, Any]
    context: dict[str, Any]
    system_prompt: str = ""
    correlation_id: str | None = None
    traceparent: str | None = None
    """Of the call that began it."""
    status: ExecutionStatus = ExecutionStatus.RUNNING
    tool_calls: list[ToolCall] = field(factory=list)
    continuations: dict[str, bytes] = field(factory=dict)
    """Output that followed a tool's result, by tool call."""
    sequence: int = 0
    response: dict[str, Any] | None = None
    scope: trio.CancelScope | None = None

    @property
    def pending(self) -> ToolCall | None:
        """Tool call whose result the agent waits for."""
        last = self.tool_calls[-1] if self.tool_calls else None
        return last if last is not None and self.status is ExecutionStatus.WAITING else None


@define
class Turn:
    """Interface of an agent to its execution."""

    execution: SandboxExecution
    gateway: GatewayClient
    model: ModelServer
    _send: Callable[[bytes], Awaitable[None]]
    sources: list[dict[str, Any]] = field(factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    _said: list[str] = field(factory=list)

    async def say(self, *tokens: str, content_type: str = "response") -> None:
        """Stream tokens of the answer, in one write."""
        self._said.extend(tokens)
        await self._send(
            b"".join(
                self._line("token", {"token": token, "content_type": content_type, "is_last": False})
                for token in tokens
            )
        )

    async def answer(self, text: str) -> None:
        """Stream a whole text word by word, and count its tokens and those of the question."""
        self.prompt_tokens = count_tokens(self.execution.query)
        self.completion_tokens = count_tokens(text)
        await self.say(*re.findall(r"\S+\s*", text))

    async def status(self, text: str) -> None:
        """Stream a status."""
        await self._send(self._line("status", {"status": text}))

    async def ask_tool(self, tool_id: str, parameters: dict[str, Any]) -> None:
        """Call a tool; the agent then returns, and is resumed with the outcome."""
        execution = self.execution
        # Derived, so that a repeated execution uses the same id.
        seed = f"{execution.task_id}:{len(execution.tool_calls)}".encode()
        call = ToolCall(f"call_{hashlib.sha256(seed).hexdigest()[:20]}", tool_id, parameters)
        execution.tool_calls.append(call)
        execution.status = ExecutionStatus.WAITING
        await self._send(
            self._line(
                "tool_request", {"tool_call_id": call.tool_call_id, "tool_id": tool_id, "parameters": parameters}
            )
        )

    async def finish(self) -> None:
        """End the stream with the whole answer."""
        execution = self.execution
        last = self._line("token", {"token": "", "content_type": "response", "is_last": True})
        execution.status = ExecutionStatus.COMPLETED
        execution.response = {
            "response": "".join(self._said),
            "sources": self.sources,
            "tool_calls": [
                {"tool_call_id": call.tool_call_id, "tool_id": call.tool_id, "parameters": call.parameters}
                for call in execution.tool_calls
            ],
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
        await self._send(last + self._line("response", execution.response))

    async def fail(self, error: AgentFailed) -> None:
        """End the stream with an error."""
        fields = {"code": error.code, "message": error.message, "retryable": error.retryable}
        await self._send(self._line("error", fields))

    def _line(self, action: str, payload: dict[str, Any]) -> bytes:
        execution = self.execution
        execution.sequence += 1
        return orjson.dumps(
            {
                "type": {"domain": "agent", "action": action},
                "task_id": execution.task_id,
                "metadata": {"sequence": execution.sequence},
                "payload": payload,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


class Agent(Protocol):
    """An agent of the sandbox."""

    async def start(self, turn: Turn) -> None:
        """Answer the question, or call a tool and return."""

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Continue with the outcome of the tool."""


class PlainAgent:
    """An agent that calls no tools."""

    async def resume(self, turn: Turn, call: ToolCall) -> None:
        """Fail: no tool was called."""
        raise AgentFailed("AGEX_EXEC_001", f"{turn.execution.agent_id} has asked for no tool.")
