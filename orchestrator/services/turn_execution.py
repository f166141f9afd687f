"""The agent at work: its execution, leg by leg, with the tools that it asks for in between."""

from collections.abc import Mapping
from typing import Any, Final

import trio
from attrs import define, frozen

from orchestrator.clients.agent_execution import Execution
from orchestrator.clients.opening import Clients
from orchestrator.codec import structure
from orchestrator.errors import BadGateway, NotFound, ServiceFault, ServiceRefused
from orchestrator.models.agent import AgentConfig, AgentResponse, ToolRequest
from orchestrator.models.call import CallContext
from orchestrator.models.events import ToolOutcome, ToolResult, ToolStatus
from orchestrator.models.ids import new_id
from orchestrator.models.orchestration import HIGH, MEDIUM, ServiceCall
from orchestrator.services.run import Run, TurnWaiting
from orchestrator.services.service_coordinator import ServiceCoordinator
from orchestrator.services.turn_stream import TurnStream

EXECUTE: Final = ServiceCall("agent_execution", "execute", HIGH)
TOOL_RESULT: Final = ServiceCall("agent_execution", "tool_result", HIGH)
TOOL: Final = ServiceCall("tool_registry", "execute", MEDIUM)
TOOL_ROUNDS: Final = 16
"""Tools that an agent may ask for in one turn."""
CLIENT_TOOL_MS: Final = 60_000
"""How long a client has for a tool."""


@frozen
class Inputs:
    """What an agent needs to answer."""

    agent: AgentConfig
    context: dict[str, Any]
    tools: list[dict[str, Any]]


@define
class TurnExecution:
    """One turn's execution at Agent Execution."""

    run: Run
    call: CallContext
    clients: Clients
    coordinator: ServiceCoordinator
    stream: TurnStream
    execution_id: str = ""
    """Set while the execution may be running there."""
    rounds: int = 0

    async def start(self, inputs: Inputs) -> AgentResponse | TurnWaiting:
        """Let the agent answer the turn's question; raises what `Transport.call` raises, or FencedOut."""
        run = self.run

        async def leg(limited: CallContext) -> AgentResponse | ToolRequest:
            # A broken stream can't be gone on with: each try is an execution of its own.
            self.execution_id = new_id()
            execution = Execution(
                self.execution_id,
                run.message.payload["content"],
                inputs.agent,
                {**run.session.context, **inputs.context, "attachments": run.message.payload.get("attachments") or []},
                inputs.tools,
                run.session.session_id,
                run.message.metadata.user_id,
            )
            client = self.clients.agent_execution
            async with client.execute(limited.keyed(self.execution_id), execution) as stream:
                return await self.stream.relay(stream)

        return await self._go_on(inputs.agent, await self.coordinator.run(EXECUTE, self.call, leg))

    async def resume(
        self, agent: AgentConfig, tool_call_id: str, result: Mapping[str, Any]
    ) -> AgentResponse | TurnWaiting:
        """Go on with the result of a client's tool."""
        outcome = structure(dict(result), ToolOutcome)
        return await self._go_on(agent, await self._hand_over(tool_call_id, outcome))

    async def cancel(self, call: CallContext) -> None:
        """Stop the execution, if one is running."""
        if self.execution_id:
            await self.clients.agent_execution.cancel(call, self.execution_id)

    async def _go_on(self, agent: AgentConfig, outcome: AgentResponse | ToolRequest) -> AgentResponse | TurnWaiting:
        while isinstance(outcome, ToolRequest):
            self.rounds += 1
            if self.rounds > TOOL_ROUNDS:
                raise ServiceRefused(
                    f"The agent asked for more than {TOOL_ROUNDS} tools in one turn.", service="agent_execution"
                )
            if outcome.tool_id in agent.client_tools:
                return TurnWaiting(outcome.tool_call_id, outcome.tool_id, outcome.parameters, CLIENT_TOOL_MS)
            outcome = await self._hand_over(outcome.tool_call_id, await self._use(outcome))
        self.execution_id = ""
        return outcome

    async def _hand_over(self, tool_call_id: str, outcome: ToolOutcome) -> AgentResponse | ToolRequest:
        execution_id = self.execution_id

        async def leg(limited: CallContext) -> AgentResponse | ToolRequest:
            client = self.clients.agent_execution
            async with client.tool_result(limited, execution_id, tool_call_id, outcome) as stream:
                return await self.stream.relay(stream)

        call = self.call.keyed(f"{execution_id}:{tool_call_id}")
        try:
            return await self.coordinator.run(TOOL_RESULT, call, leg)
        except NotFound as error:
            raise BadGateway(
                "Agent Execution no longer knows the answer that it was working on.",
                details=error.details,
                service=error.service,
            ) from None

    async def _use(self, request: ToolRequest) -> ToolOutcome:
        """Run a tool of the Tool Registry; where that fails, the agent is told and decides what to do."""
        begun = trio.current_time()
        call = self.call.keyed(f"{self.execution_id}:{request.tool_call_id}:run")

        async def execute(limited: CallContext) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, request.tool_id, request.parameters)

        try:
            outcome = await self.coordinator.run(TOOL, call, execute)
        except NotFound:
            outcome = ToolOutcome(ToolStatus.ERROR, error_message=f"There is no tool {request.tool_id!r}.")
        except ServiceFault as error:
            outcome = ToolOutcome(ToolStatus.ERROR, error_message=error.message)
        took_ms = round((trio.current_time() - begun) * 1000, 3)
        shown = ToolOutcome(outcome.status, outcome.data, outcome.error_message, took_ms)
        question = self.run.message.payload["message_id"]
        await self.run.emit("tool.result", ToolResult(request.tool_call_id, shown, question))
        return shown
