"""One question to an agent, outside of any conversation: an item of a batch, a step of a workflow, a call of a plan.

It is answered as a chat turn is, by the same execution, but nothing is recalled, streamed or stored beside its answer.
Who asks may give along what is looked up otherwise: `agent_config`, `context`, `tools`, in the task's payload.
"""

from typing import Any, Final

import trio
from attrs import evolve, frozen

from orchestrator.clients.opening import Clients
from orchestrator.codec import structure, unstructure
from orchestrator.domain.plans.plan_schedule import PlanSchedule
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.agents.agent import AgentConfig, AgentResponse
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import from_timestamp, now_ms
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Wait, WaitKind
from orchestrator.services.chat.agent_pin import agent_of
from orchestrator.services.chat.turn_deadline import in_time
from orchestrator.services.chat.turn_execution import STREAMED, Inputs, TurnExecution
from orchestrator.services.chat.turn_plan import EXECUTED, run_turn, turn_schedule
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.downstream.agent_catalog import TOOLS, AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt, CallWaits, Partial, TurnDone, TurnWaiting
from orchestrator.services.plans.call_executor import PlannedCall, PlanWaiting
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
            stopped=item.execution.cancel,
            late=item.execution.cancel,
            complaint=f"The item was not finished within {timeout_ms} ms.",
        )


class _Item:
    def __init__(self, run: Attempt, services: AgentQuestionRunner, deadline: float) -> None:
        self._run = run
        self._services = services
        self._call = call_of(run.message, deadline)
        announced = trio.Event()
        announced.set()
        stream = TurnStream(run, announced, text="", sequence=0, broken=False)
        self._waited: dict[str, Any] = run.checkpoints.get(STREAMED) or {}
        if self._waited and TurnExecution.outlived(self._waited, run.message.metadata.retry_count):
            self._waited = {}
        self.execution = TurnExecution(
            run,
            self._call,
            services.clients,
            services.coordinator,
            stream,
            self._waited,
        )
        self._executed: dict[str, Any] = run.checkpoints.get(EXECUTED) or {}
        self._agent: AgentConfig
        self._tools: list[dict[str, Any]] = []
        self._degraded: list[str] = []

    async def run(self) -> TurnDone | TurnWaiting:
        async with open_joined_nursery() as nursery:
            if not (self._waited or self._executed):
                nursery.start_soon(self.execution.prepare)
            outcome = await run_turn(self, self._run, self._schedule())
        if isinstance(outcome, PlanWaiting):
            return TurnWaiting(tuple(outcome.waits))
        answer = structure(self._executed["answer"], ChatAnswer)
        took_ms = max(0, now_ms() - from_timestamp(self._run.message.created_at))
        return TurnDone(evolve(answer, processing_time_ms=took_ms), None, self._executed["agent_version"])

    def _schedule(self) -> PlanSchedule:
        reads: tuple[str, ...] = ("agent",) if self._waited else ("agent", "tools")
        return turn_schedule(() if self._executed else reads, question=False, answer=False)

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call of the item's plan; see `CallExecutor.perform`."""
        match call.name:
            case "agent":
                self._agent = await self._find_agent()
            case "tools":
                self._tools = await self._list_tools()
            case "execute":
                return await self._execute()
        return None

    async def _execute(self) -> dict[str, Any]:
        """Let the agent answer; where it waits for a service, keep for which. A client's tools are refused to it."""
        agent, execution, given = self._agent, self.execution, self._run.message.payload
        if self._waited:
            wait = structure(self._waited["wait"], Wait)
            answer = answer_of(self._run.checkpoints, wait.call_id)
            if answer is None:
                raise CallWaits(wait)
            outcome = await execution.resume(agent, wait, answer)
        else:
            outcome = await execution.start(Inputs(agent, given.get("context", {"messages": []}), self._tools))
        while isinstance(outcome, TurnWaiting):
            wait = outcome.waits[0]
            if wait.kind is WaitKind.DELEGATED:
                await self._run.checkpoint(STREAMED, execution.state(wait))
                raise CallWaits(wait)
            outcome = await execution.resume(agent, wait, _NO_CLIENT)
        self._executed = {"answer": unstructure(self._answer(outcome)), "agent_version": agent.version}
        return self._executed

    async def _find_agent(self) -> AgentConfig:
        given = self._run.message.payload.get("agent_config")
        if given is not None:
            return structure(given, AgentConfig, "$.payload.agent_config")
        return await agent_of(self._run, self._call, self._services.catalog)

    async def _list_tools(self) -> list[dict[str, Any]]:
        given: list[dict[str, Any]] | None = self._run.message.payload.get("tools")
        if given is not None:
            return given
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
            usage=response.usage,
            degraded=self._degraded,
        )
