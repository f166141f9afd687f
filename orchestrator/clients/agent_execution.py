"""Agent Execution: runs agents, and streams their output."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import trio
from attrs import asdict, evolve, frozen

from orchestrator.clients.agent_messages import UnknownPiece, read_message, response_of
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.answers import ServiceAnswer, as_answer
from orchestrator.clients.transport.json_text import REPLACEMENT, split_half
from orchestrator.clients.transport.responses import Lines, Pieces
from orchestrator.clients.transport.transport import Transport
from orchestrator.errors import BadGateway, InvalidAnswer, ServiceFault
from orchestrator.models.agents.agent import (
    AgentConfig,
    AgentOutcome,
    AgentPiece,
    AgentResponse,
    AgentStatus,
    AgentToken,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess
from orchestrator.models.events.events import StreamContent, ToolOutcome
from orchestrator.models.tasks.waits import Callback

_operation = partial(Operation, "agent_execution", domain="agent")
_TASK: Final = "/api/v1/tasks/{task_id}"
_OWNERS: Final = {"task_id": Owner.TASK, "tool_call_id": Owner.WITHIN}

EXECUTE: Final = _operation(
    "execute",
    "POST",
    "/api/v1/agents/{agent_id}/execute",
    required=("query",),
    optional=("agent_config", "context", "stream", "tools", "max_tokens", "task_id"),
    callee="agent_id",
    streams=True,
    delegable=True,
    plan=PlanAccess(
        "chat:write",
        {"agent_id": Owner.TENANT},
        ("query", "agent_config", "context", "tools", "max_tokens"),
        nested=("agent_config", "context"),
        # Who chooses the tools of an agent has them run.
        chosen={"agent_config": "tool:execute", "tools": "tool:execute"},
    ),
)
TOOL_RESULT: Final = _operation(
    "tool_result",
    "POST",
    f"{_TASK}/tool_result",
    required=("tool_call_id", "status"),
    optional=("result", "error_message", "stream"),
    idempotent=True,
    streams=True,
    plan=PlanAccess("chat:write", _OWNERS, ("status", "result", "error_message")),
)
CANCEL: Final = _operation("cancel", "POST", f"{_TASK}/cancel", idempotent=True, plan=PlanAccess("task:write", _OWNERS))
GET: Final = _operation("get", "GET", _TASK, idempotent=True, plan=PlanAccess("task:read", _OWNERS))
LINGER_SECONDS: Final = 0.05
"""Wait for the end of a stream after its last message, in seconds."""
GAP: Final = 1000
"""Messages that count as missing between two, at most: a number that is far off must not spoil the count."""
KINDS: Final = 8
"""Unknown kinds of messages that are told apart in one stream."""


@frozen
class Execution:
    """Request to run an agent."""

    execution_id: str
    """Named by tool results and by a cancel."""
    query: str
    agent: AgentConfig
    context: dict[str, Any]
    tools: list[dict[str, Any]]
    session_id: str
    user_id: str
    max_tokens: int | None = None
    callback: Callback | None = None
    """Allows the service to accept the execution (202) and to answer later."""


class AgentStream:
    """Output of an agent, in the batches in which it arrives.

    Messages and tokens of kinds that are not known here are passed over, and counted in `passed_over`. All come in the
    order of arrival; where the service numbers them (`metadata.sequence`), `missing` counts those that have not come.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._lines = Lines(pieces)
        self._pieces = pieces
        self._service = pieces.service
        self._ended = False
        self._halves: dict[StreamContent, str] = {}
        """First half of a character that a token ended with, until the next token of its kind."""
        self.passed_over: dict[str, int] = {}
        """Number of unknown messages and tokens, by their kind; kinds beyond `KINDS` count as `other`."""
        self.missing = 0
        """Number of messages between others that have not come."""
        self._last: int | None = None
        """The highest number so far."""

    async def receive(self) -> list[AgentPiece]:
        """Return the next messages, at least one; the last of all is an `AgentOutcome`.

        Raises:
            BadGateway: the stream was cut off.
            InvalidAnswer: it is malformed.
            ServiceRefused, ReportedFailure: the agent failed (`agent.error`).
            CallTimeout: no message came in time. ConnectionBroken: the connection broke.
        """
        while True:
            batch = await self._lines.receive()
            if batch is None:
                raise self._unfinished()
            pieces = self._read(batch)
            if pieces:
                return pieces

    async def finish(self) -> None:
        """Read to the end of the stream after the last message, so that the connection can be reused.

        Where the stream ends late or breaks, only the connection is lost.

        Raises:
            InvalidAnswer: more messages follow the last one.
        """
        batch = None
        with trio.move_on_after(LINGER_SECONDS):
            try:
                batch = await self._lines.receive()
            except ServiceFault:
                return
        self._read(batch or [])

    def _unfinished(self) -> ServiceFault:
        # Without a frame, the end of a stream is also that of a service which has just died.
        fault = InvalidAnswer if self._pieces.framed else BadGateway
        return fault("Agent Execution ended its stream without an answer.", service=self._service)

    def _read(self, batch: list[ServiceAnswer]) -> list[AgentPiece]:
        pieces: list[AgentPiece] = []
        for said in batch:
            if "metadata" in said.fields:
                self._number(said.fields["metadata"])
            piece = read_message(said)
            if isinstance(piece, UnknownPiece):
                name = piece.kind if piece.kind in self.passed_over or len(self.passed_over) < KINDS else "other"
                self.passed_over[name] = self.passed_over.get(name, 0) + 1
                continue
            if self._ended and not isinstance(piece, AgentStatus):
                raise InvalidAnswer("Agent Execution went on after the end of its stream.", service=self._service)
            if isinstance(piece, AgentToken):
                if said.halves or self._halves:
                    piece = self._joined(piece)
            elif isinstance(piece, AgentOutcome):
                self._ended = True
                pieces += [AgentToken(REPLACEMENT, content_type) for content_type in self._halves]
                self._halves.clear()
            pieces.append(piece)
            if isinstance(piece, AgentStatus) and piece.thought and not self._ended:
                pieces.append(AgentToken(piece.thought, StreamContent.THINKING))
        return pieces

    def _number(self, metadata: Any) -> None:
        """Look at the number of a message, if it has one; a number that has come before says nothing."""
        number = metadata.get("sequence") if isinstance(metadata, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or (self._last is not None and number <= self._last):
            return
        if self._last is not None:
            self.missing += min(number - self._last - 1, GAP)
        self._last = number

    def _joined(self, token: AgentToken) -> AgentToken:
        """Join a token with the half character before it, and keep back the one that it ends with."""
        text, half = split_half(self._halves.pop(token.content_type, "") + token.text)
        if half and token.is_last:
            return evolve(token, text=text + REPLACEMENT)
        if half:
            self._halves[token.content_type] = half
        return evolve(token, text=text)


@frozen
class AgentExecutionClient:
    """Calls Agent Execution; every method raises what `Transport.call` raises."""

    transport: Transport

    @asynccontextmanager
    async def execute(self, call: CallContext, execution: Execution) -> AsyncIterator[AgentStream]:
        """Run an agent, and stream its output."""
        parameters: dict[str, Any] = {
            "agent_id": execution.agent.agent_id,
            "query": execution.query,
            "agent_config": asdict(execution.agent, recurse=False),
            "context": execution.context,
            "stream": True,
            "tools": execution.tools,
            "task_id": execution.execution_id,
        }
        if execution.max_tokens is not None:
            parameters["max_tokens"] = execution.max_tokens
        callback = execution.callback
        async with self.transport.stream(
            call,
            EXECUTE,
            parameters,
            task_id=callback.task_id if callback else execution.execution_id,
            callback_token=callback.token if callback else None,
            session_id=execution.session_id,
            user_id=execution.user_id,
        ) as pieces:
            yield AgentStream(pieces)

    @asynccontextmanager
    async def tool_result(
        self, call: CallContext, execution_id: str, tool_call_id: str, outcome: ToolOutcome
    ) -> AsyncIterator[AgentStream]:
        """Send an agent the tool result that it waits for, and continue its stream."""
        parameters = {
            "task_id": execution_id,
            "tool_call_id": tool_call_id,
            "status": outcome.status,
            "result": outcome.data,
            "error_message": outcome.error_message,
            "stream": True,
        }
        async with self.transport.stream(call, TOOL_RESULT, parameters, task_id=execution_id) as pieces:
            yield AgentStream(pieces)

    async def cancel(self, call: CallContext, execution_id: str, reason: str = "system") -> None:
        """Stop an execution.

        Args:
            call: the task whose execution it is.
            execution_id: as it was named in `execute`.
            reason: what has ended the task: `user`, `operator`, `timeout`, `error` or `system`.
        """
        await self.transport.call(call, CANCEL, {"task_id": execution_id}, task_id=execution_id, reason_code=reason)


AGENT_EXECUTION: Final = ServiceRecord(
    "agent_execution",
    AgentExecutionClient,
    (EXECUTE, TOOL_RESULT, CANCEL, GET),
)


def read_response(result: Any) -> AgentResponse:
    """Read the result of a delegated execution: the payload of `agent.response`.

    Raises:
        InvalidAnswer: the result is something else.
    """
    return response_of(as_answer(EXECUTE.service, result))
