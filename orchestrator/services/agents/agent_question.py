"""One question to an agent, outside of any conversation: an item of a batch, a step of a workflow, a call of a plan.

It is answered as a chat turn is, by the same execution, but nothing is recalled, streamed or stored beside its answer.
Who asks may give along what is looked up otherwise: `agent_config`, `context`, `tools`, in the task's payload.
"""

from functools import partial as bound
from typing import Any, Final

import trio
from attrs import evolve, field, frozen

from orchestrator.clients.registry import Clients
from orchestrator.codec import structure, unstructure
from orchestrator.domain.joining import Speaking
from orchestrator.errors import InvalidBody, NotFound, ServiceFault
from orchestrator.models.agents.agent import AgentConfig, AgentResponse
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import from_timestamp, now_ms
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Wait, WaitKind
from orchestrator.services.chat.agent_pin import agent_of
from orchestrator.services.chat.turn_checkpoints import EXECUTED, STREAMED, ExecutedTurn, ResumeState
from orchestrator.services.chat.turn_deadline import in_time
from orchestrator.services.chat.turn_execution import Inputs, TurnExecution
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.downstream.agent_catalog import TOOLS, AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone, TurnWaiting
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.shared.nursery import open_joined_nursery

_NO_CLIENT: Final = CallAnswer(
    AnswerStatus.COMPLETED,
    unstructure(ToolOutcome(ToolStatus.ERROR, error_message="there is no client here that could run this tool")),
)


@frozen
class AgentQuestionRunner:
    """Runs the items of batches, with what all of them share."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    speaking: Speaking = field(factory=Speaking)

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        """Run one attempt at an item; `partial` stays empty. When it is cancelled, Agent Execution is told so.

        Raises:
            NotFound: there is no such agent.
            ServiceFault: a service that the item can't do without is away, and stayed so.
            PlanTimeout: the item's time was over (`metadata.timeout_ms`).
            FencedOut: another worker has taken the item over.
        """
        timeout_ms = run.message.metadata.timeout_ms
        deadline = trio.current_time() + timeout_ms / 1000
        item = _Item(run, self, deadline)
        return await in_time(
            item.run,
            deadline,
            stopped=item.stop,
            late=bound(item.execution.cancel, "timeout"),
            complaint=f"The item was not finished within {timeout_ms} ms.",
        )


class _Item:
    def __init__(self, run: Attempt, services: AgentQuestionRunner, deadline: float) -> None:
        self._run = run
        self._services = services
        self._call = call_of(run.message, deadline).within(agent_id=run.session.agent_id)
        announced = trio.Event()
        announced.set()
        stream = TurnStream(run, announced, text="", sequence=0, broken=False, speaking=services.speaking)
        kept = ResumeState.read(run.checkpoints)
        self._resumed = None if kept is None or kept.is_over(run.message.metadata.retry_count) else kept
        self.execution = TurnExecution(run, self._call, services.clients, services.coordinator, stream, self._resumed)
        self._executed = ExecutedTurn.read(run.checkpoints)
        self._degraded: list[str] = []

    async def stop(self) -> None:
        """Tell Agent Execution that the item was stopped, and by whom."""
        await self.execution.cancel(self._run.stopped_by or "system")

    async def run(self) -> TurnDone | TurnWaiting:
        outcome = self._executed or await self._execute()
        if isinstance(outcome, Wait):
            return TurnWaiting((outcome,))
        took_ms = max(0, now_ms() - from_timestamp(self._run.message.created_at))
        return TurnDone(evolve(outcome.answer, processing_time_ms=took_ms), None, outcome.agent_version)

    async def _execute(self) -> ExecutedTurn | Wait:
        """Let the agent answer; where it waits for a service, keep for which. A client's tools are refused to it."""
        execution, resumed = self.execution, self._resumed
        if resumed is None:
            inputs = await self._read()
            agent, outcome = inputs.agent, await execution.start(inputs)
        else:
            answer = answer_of(self._run.checkpoints, resumed.wait.call_id)
            if answer is None:
                return resumed.wait
            agent = await self._find_agent()
            outcome = await execution.resume(agent, resumed.wait, answer)
        while isinstance(outcome, Wait):
            if outcome.kind is WaitKind.DELEGATED:
                await self._run.checkpoint(STREAMED, execution.state(outcome).kept())
                return outcome
            outcome = await execution.resume(agent, outcome, _NO_CLIENT)
        executed = ExecutedTurn(self._answer(outcome), agent.version)
        await self._run.checkpoint(EXECUTED, unstructure(executed))
        return executed

    async def _read(self) -> Inputs:
        """Read all that the agent is given, at once."""
        agent: AgentConfig
        tools: list[dict[str, Any]] = []

        async def list_tools() -> None:
            tools.extend(await self._list_tools())

        async with open_joined_nursery() as nursery:
            nursery.start_soon(self.execution.prepare)
            nursery.start_soon(list_tools)
            agent = await self._find_agent()
        return Inputs(agent, self._run.message.payload.get("context", {"messages": []}), tools)

    async def _find_agent(self) -> AgentConfig:
        given = self._run.message.payload.get("agent_config")
        if given is not None:
            return structure(given, AgentConfig, "$.payload.agent_config")
        agent = await agent_of(self._run, self._call, self._services.catalog)
        parameters = self._run.message.payload.get("agent_parameters")
        return evolve(agent, parameters={**agent.parameters, **parameters}) if parameters else agent

    async def _list_tools(self) -> list[dict[str, Any]]:
        given = self._run.message.payload.get("tools")
        if given is not None:
            return _checked(given)
        try:
            return await self._services.catalog.tools(self._call, self._run.session.agent_id)
        except (ServiceFault, NotFound):
            self._degraded.append(TOOLS.service)
            return []

    def _answer(self, response: AgentResponse) -> ChatAnswer:
        return ChatAnswer(
            parent_message_id=self._run.message.payload["message_id"],
            message_id=new_id(),
            content=response.response,
            sources=response.sources,
            tool_calls=response.tool_calls,
            thinking=response.thinking or None,
            usage=response.usage,
            degraded=self._degraded,
        )


def _checked(tools: list[Any]) -> list[dict[str, Any]]:
    """Return the tools that were given along; InvalidBody, with every fault, where they are no objects."""
    faults = [
        FieldFault(f"$.payload.tools[{index}]", "must be an object")
        for index, tool in enumerate(tools)
        if not isinstance(tool, dict)
    ]
    if faults:
        raise InvalidBody(f"{faults[0].path} {faults[0].message}.", details=faults)
    return tools
