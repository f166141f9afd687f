"""The agent at work: its execution, leg by leg, with the tools that it asks for in between."""

from typing import Any, Final

import structlog
import trio
from attrs import define, evolve, field, frozen

from orchestrator.clients.agent_execution import AgentStream, Execution, read_response
from orchestrator.clients.registry import Clients
from orchestrator.errors import BadGateway, NotFound, OrchestratorError, ServiceFault, ServiceRefused
from orchestrator.models.agents.agent import AgentAccepted, AgentConfig, AgentOutcome, AgentResponse, ToolRequest
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.ids import new_id
from orchestrator.models.events.events import ToolOutcome, ToolResult, ToolStarted, ToolStatus
from orchestrator.models.plans.orchestration import HIGH, MEDIUM, ServiceCall
from orchestrator.models.tasks.waits import CallAnswer, Callback, Wait
from orchestrator.services.chat.turn_checkpoints import ResumeState, execution_call
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.chat.turn_tools import (
    DELEGATED_MS,
    async_tools,
    client_wait,
    descriptions_of,
    names_of,
    outcome_of,
    service_wait,
)
from orchestrator.services.delegation.delegations import answer_of, result_of
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt

_CANCEL_SECONDS: Final = 1.0
EXECUTE: Final = ServiceCall("agent_execution", "execute", HIGH)
TOOL_RESULT: Final = ServiceCall("agent_execution", "tool_result", HIGH)
TOOL: Final = ServiceCall("tool_registry", "execute", MEDIUM)
ASYNC_TOOL: Final = ServiceCall("tool_registry", "async_execute", MEDIUM)
TOOL_ROUNDS: Final = 16
"""Tools that an agent may ask for in one turn."""
_log = structlog.get_logger("orchestrator.services.chat.turn_execution")


@frozen
class Inputs:
    """What an agent needs to answer."""

    agent: AgentConfig
    context: dict[str, Any]
    tools: list[dict[str, Any]]


@define
class TurnExecution:
    """One turn's execution at Agent Execution.

    Args:
        run: the attempt at the turn.
        call: what its calls carry.
        clients: the services.
        coordinator: how they are called.
        stream: where the agent's words go.
        resumed: how the turn stood when an earlier attempt put it aside; None: this execution is a new one.
    """

    run: Attempt
    call: CallContext
    clients: Clients
    coordinator: ServiceCoordinator
    stream: TurnStream
    resumed: ResumeState | None
    execution_id: str = field(init=False, default="")
    """Set while the execution may be running there."""
    rounds: int = field(init=False, default=0)
    async_tools: frozenset[str] = field(init=False, default=frozenset())
    """Those that are started, and answer later."""
    names: dict[str, str] = field(init=False, factory=dict)
    """Ids of tools by the names that the agent may call them by instead."""
    descriptions: dict[str, str] = field(init=False, factory=dict)
    """What the tools do that run at the client, by their ids."""
    _callback: Callback | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.resumed is not None:
            self.execution_id = self.resumed.execution_id
            self.rounds = self.resumed.rounds
            self.async_tools = frozenset(self.resumed.async_tools)
            self.names = dict(self.resumed.names)
            self.descriptions = dict(self.resumed.descriptions)

    def state(self, wait: Wait) -> ResumeState:
        """Return how the execution stands, for the attempt that goes on when `wait` has been answered."""
        return ResumeState(
            wait,
            self.execution_id,
            self.rounds,
            tuple(sorted(self.async_tools)),
            names=self.names,
            descriptions=self.descriptions,
        )

    @property
    def _executing(self) -> str:
        return execution_call(self.run.message.metadata.retry_count)

    async def prepare(self) -> None:
        """Have the agent's answer taken, should it come later; goes before `start`."""
        self._callback = await self.run.delegations.register(self._executing, EXECUTE.service, DELEGATED_MS)

    async def start(self, inputs: Inputs) -> AgentResponse | Wait:
        """Let the agent answer the turn's question; raises what `Transport.call` raises, or FencedOut."""
        run = self.run
        self.async_tools = async_tools(inputs.tools)
        self.names = names_of(inputs.tools)
        self.descriptions = descriptions_of(inputs.tools, inputs.agent.client_tools)
        if self._callback is None:
            # An earlier attempt was lost after the service had taken the execution on.
            answer = answer_of(run.checkpoints, self._executing)
            return service_wait(self._executing) if answer is None else await self._answered(answer)

        begun = True

        async def leg(limited: CallContext) -> AgentOutcome:
            # A broken stream can't be gone on with: the next try is an execution of its own. Where no answer had begun,
            # it is the same one, under the same key.
            nonlocal begun
            if begun:
                self.execution_id, begun = new_id(), False
            execution = Execution(
                self.execution_id,
                run.message.payload["content"],
                inputs.agent,
                {**run.session.context, **inputs.context, "attachments": run.message.payload.get("attachments") or []},
                inputs.tools,
                run.session.session_id,
                run.message.metadata.user_id,
                max_tokens=run.message.payload.get("max_tokens"),
                callback=self._callback,
            )
            client = self.clients.agent_execution
            async with client.execute(limited.keyed(self.execution_id), execution) as stream:
                begun = True
                return await self._relay(stream, limited)

        call = self.call.to("agent", inputs.agent.agent_id)
        return await self._go_on(inputs.agent, await self.coordinator.run(EXECUTE, call, leg))

    async def resume(self, agent: AgentConfig, wait: Wait, answer: CallAnswer) -> AgentResponse | Wait:
        """Go on with what was waited for: the result of a tool, or the agent's whole answer."""
        if wait.call_id == self._executing:
            return await self._answered(answer)
        outcome = outcome_of(wait.kind, answer)
        if wait.request is None:
            await self._show(wait.call_id, outcome)
        return await self._go_on(agent, await self._hand_over(agent, wait.call_id, outcome))

    async def _answered(self, answer: CallAnswer) -> AgentResponse:
        response = read_response(result_of(answer))
        self.execution_id = ""
        await self.stream.tell(response)
        return response

    async def cancel(self, reason: str = "system") -> None:
        """Tell Agent Execution, if it is still at work, to stop; within `_CANCEL_SECONDS`.

        Args:
            reason: what has ended the turn: `user`, `operator`, `timeout`, `error` or `system`.
        """
        if not self.execution_id:
            return
        deadline = trio.current_time() + _CANCEL_SECONDS
        with trio.CancelScope(shield=True, deadline=deadline):
            try:
                call = evolve(self.call, deadline=deadline)
                await self.clients.agent_execution.cancel(call, self.execution_id, reason)
            except OrchestratorError as error:
                _log.warning("execution not cancelled", task_id=self.run.message.task_id, reason=error.message)

    async def _go_on(self, agent: AgentConfig, outcome: AgentOutcome) -> AgentResponse | Wait:
        while isinstance(outcome, ToolRequest):
            self.rounds += 1
            if self.rounds > TOOL_ROUNDS:
                await self.cancel("error")
                raise ServiceRefused(
                    f"The agent asked for more than {TOOL_ROUNDS} tools in one turn.", service="agent_execution"
                )
            outcome = evolve(outcome, tool_id=self.names.get(outcome.tool_id, outcome.tool_id))
            if outcome.tool_id in agent.client_tools:
                told = self.descriptions.get(outcome.tool_id, "")
                return client_wait(outcome.tool_call_id, outcome.tool_id, outcome.parameters, told)
            used = await self._use(outcome)
            if isinstance(used, Wait):
                return used
            outcome = await self._hand_over(agent, outcome.tool_call_id, used)
        if isinstance(outcome, AgentAccepted):
            self.execution_id = outcome.execution_id or self.execution_id
            await self.run.delegations.sent(self._executing, EXECUTE.service, self.execution_id)
            return service_wait(self._executing)
        self.execution_id = ""
        return outcome

    async def _relay(self, stream: AgentStream, call: CallContext) -> AgentOutcome:
        try:
            return await self.stream.relay(stream)
        finally:
            self.coordinator.passed_over(EXECUTE.service, stream.passed_over, call.callee)
            self.coordinator.missed(EXECUTE.service, stream.missing, call.callee)

    async def _hand_over(self, agent: AgentConfig, tool_call_id: str, outcome: ToolOutcome) -> AgentOutcome:
        execution_id = self.execution_id

        async def leg(limited: CallContext) -> AgentOutcome:
            client = self.clients.agent_execution
            async with client.tool_result(limited, execution_id, tool_call_id, outcome) as stream:
                return await self._relay(stream, limited)

        call = self.call.keyed(f"{execution_id}:{tool_call_id}").to("agent", agent.agent_id)
        try:
            return await self.coordinator.run(TOOL_RESULT, call, leg)
        except NotFound as error:
            raise BadGateway(
                "Agent Execution no longer knows the answer that it was working on.",
                details=error.details,
                service=error.service,
            ) from None

    async def _use(self, request: ToolRequest) -> ToolOutcome | Wait:
        """Run a tool of the Tool Registry; where that fails, the agent is told and decides what to do.

        One that answers later is started, and waited for.
        """
        started = ToolStarted(request.tool_call_id, self._question, request.tool_id, request.parameters)
        await self.run.emit("tool.started", started)
        begun = trio.current_time()
        call = self.call.keyed(f"{self.execution_id}:{request.tool_call_id}:run").to("tool", request.tool_id)

        async def execute(limited: CallContext) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, request.tool_id, request.parameters)

        try:
            if request.tool_id in self.async_tools:
                return await self._begin(request, call)
            outcome = await self.coordinator.run(TOOL, call, execute)
        except NotFound as error:
            outcome = ToolOutcome(
                ToolStatus.ERROR, error_message=_words(f"There is no tool {request.tool_id!r}.", error)
            )
        except ServiceFault as error:
            outcome = ToolOutcome(ToolStatus.ERROR, error_message=_words(error.message, error))
        took_ms = outcome.execution_time_ms
        if took_ms is None:
            took_ms = round((trio.current_time() - begun) * 1000, 3)
        shown = evolve(outcome, execution_time_ms=took_ms)
        await self._show(request.tool_call_id, shown)
        return shown

    async def _begin(self, request: ToolRequest, call: CallContext) -> Wait:
        """Start a tool that answers later."""
        delegations, call_id = self.run.delegations, request.tool_call_id
        callback = await delegations.register(call_id, ASYNC_TOOL.service, DELEGATED_MS)
        if callback is not None:

            async def start(limited: CallContext) -> str:
                client = self.clients.tool_registry
                return await client.async_execute(limited, request.tool_id, request.parameters, callback)

            await delegations.sent(call_id, ASYNC_TOOL.service, await self.coordinator.run(ASYNC_TOOL, call, start))
        return service_wait(call_id)

    async def _show(self, tool_call_id: str, outcome: ToolOutcome) -> None:
        await self.run.emit("tool.result", ToolResult(tool_call_id, outcome, self._question))

    @property
    def _question(self) -> str:
        """The id of the message that the turn answers."""
        return str(self.run.message.payload["message_id"])


def _words(sentence: str, error: OrchestratorError) -> str:
    """Return what an agent is told of a tool that failed: with the code and the words of the service."""
    return " ".join([sentence, *(fault.message for fault in error.details)])
