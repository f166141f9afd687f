"""A chat turn, from the user's message to the stored answer: a plan (`services.turn_plan`), and who makes its calls.

What an agent spends on language models is not counted here: agents reach those only through the gateway, which is
where it is counted (`services.gateway`). The figures of an answer are for those who read it.
"""

from functools import partial as bound
from typing import Any, Final

import trio
from attrs import evolve, frozen

from orchestrator.clients.opening import Clients
from orchestrator.codec import structure, unstructure
from orchestrator.domain.plans.plan_schedule import PlanSchedule
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.agents.agent import AgentConfig, AgentResponse
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import from_timestamp, now_ms, to_timestamp
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatAnswer, HistoryMessage, MessageStatus, Speaker
from orchestrator.models.tasks.waits import Wait
from orchestrator.services.chat.agent_pin import agent_of
from orchestrator.services.chat.turn_deadline import in_time
from orchestrator.services.chat.turn_execution import STREAMED, Inputs, TurnExecution
from orchestrator.services.chat.turn_memory import TurnMemory
from orchestrator.services.chat.turn_plan import ALL_READS, EXECUTED, run_turn, turn_schedule
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.downstream.agent_catalog import TOOLS, AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt, CallWaits, Partial, TurnDone, TurnWaiting
from orchestrator.services.plans.call_executor import PlannedCall, PlanWaiting
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.shared.nursery import open_joined_nursery

GOODBYE_SECONDS: Final = 2.0


@frozen
class ChatTurnRunner:
    """Runs chat turns, with what all of them share."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        """Run one attempt at a chat turn.

        When it is cancelled, Agent Execution is told so. Where somebody has stopped the turn (`run.stopped`), what
        was said so far is stored in Conversation, marked as interrupted, and left in `partial`. Both happen within
        `GOODBYE_SECONDS`.

        Raises:
            NotFound: there is no such agent.
            ServiceFault: a service that the turn can't do without is away, and stayed so.
            PlanTimeout: the turn's time was over (`metadata.timeout_ms`).
            FencedOut: another worker has taken the turn over; nothing more is said to anybody.
        """
        timeout_ms = run.message.metadata.timeout_ms
        deadline = trio.current_time() + timeout_ms / 1000
        turn = _Turn(run, self, deadline)
        return await in_time(
            turn.run,
            deadline,
            stopped=bound(turn.say_goodbye, partial),
            late=turn.execution.cancel,
            complaint=f"The turn was not finished within {timeout_ms} ms.",
        )


class _Turn:
    def __init__(self, run: Attempt, services: ChatTurnRunner, deadline: float) -> None:
        self._run = run
        self._services = services
        self._call = call_of(run.message, deadline)
        self._waited: dict[str, Any] = run.checkpoints.get(STREAMED) or {}
        failures = run.message.metadata.retry_count
        self._resumes = bool(self._waited) and not TurnExecution.outlived(self._waited, failures)
        self._executed: dict[str, Any] = run.checkpoints.get(EXECUTED) or {}
        self._agent: AgentConfig
        self._context: dict[str, Any] = {}
        self._tools: list[dict[str, Any]] = []
        self._answer_id: str = self._waited.get("answer_id") or new_id()
        self._announced = trio.Event()
        self._memory = TurnMemory(
            run,
            services.clients.conversation,
            services.coordinator,
            self._waited.get("conversation_id") or run.session.conversation_id,
            question_stored=self._waited.get("question_stored", False),
            degraded=set(self._waited.get("degraded", ())),
        )
        again = self._resumed_mark in run.checkpoints if self._resumes else run.attempt > 1
        self._stream = TurnStream(
            run,
            self._announced,
            text=self._waited.get("text", ""),
            sequence=self._waited.get("sequence", 0),
            broken=again,
        )
        self.execution = TurnExecution(
            run,
            self._call,
            services.clients,
            services.coordinator,
            self._stream,
            self._waited,
        )

    @property
    def _resumed_mark(self) -> str:
        return f"resumed:{self._waited['wait']['call_id']}"

    async def run(self) -> TurnDone | TurnWaiting:
        async with open_joined_nursery() as nursery:
            nursery.start_soon(self._announce)
            if not (self._resumes or self._executed):
                nursery.start_soon(self.execution.prepare)
            schedule = self._schedule()
            outcome = await run_turn(self, self._run, schedule)
        if isinstance(outcome, PlanWaiting):
            await self._remember(outcome.waits[0])
            return TurnWaiting(tuple(outcome.waits))
        answer = self._answered()
        missed = (schedule.calls[name].service for name in outcome.failed)
        degraded = sorted(self._memory.degraded.union(answer.degraded, missed))
        answer = evolve(answer, degraded=degraded, processing_time_ms=self._took_ms())
        return TurnDone(answer, self._memory.conversation_id, self._executed["agent_version"])

    def _schedule(self) -> PlanSchedule:
        question = not self._memory.question_stored
        if self._executed:
            return turn_schedule((), question=question)
        return turn_schedule(("agent",) if self._resumes else ALL_READS, question=question)

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call of the turn's plan; see `CallExecutor.perform`. What is read stays here, for the execution."""
        match call.name:
            case "question":
                await self._memory.store_question(self._call)
            case "agent":
                self._agent = await agent_of(self._run, self._call, self._services.catalog)
            case "context":
                self._context = await self._memory.recall(self._call)
            case "tools":
                self._tools = await self._list_tools()
            case "execute":
                return await self._execute()
            case "answer":
                await self._memory.store_answer(self._call, _said(self._answered(), {}))
        return None

    async def _announce(self) -> None:
        message = self._run.message
        status = ChatStatusUpdate(message.payload["message_id"], message.task_id, MessageStatus.PROCESSING)
        await self._run.emit("chat.status_update", status)
        self._announced.set()

    async def _execute(self) -> dict[str, Any]:
        """Let the agent answer."""
        if self._resumes:
            wait = structure(self._waited["wait"], Wait)
            answer = answer_of(self._run.checkpoints, wait.call_id)
            if answer is None:
                # The worker was lost between remembering the turn and putting it aside: a client is yet to be asked.
                raise CallWaits(wait)
            await self._run.checkpoint(self._resumed_mark, result=True)
            response = await self.execution.resume(self._agent, wait, answer)
        else:
            response = await self.execution.start(Inputs(self._agent, self._context, self._tools))
        if isinstance(response, TurnWaiting):
            raise CallWaits(response.waits[0])
        self._executed = {"answer": unstructure(self._answer(response)), "agent_version": self._agent.version}
        return self._executed

    async def _list_tools(self) -> list[dict[str, Any]]:
        try:
            return await self._services.catalog.tools(self._call, self._run.session.agent_id)
        except (ServiceFault, NotFound):
            self._memory.degraded.add(TOOLS.service)
            return []

    async def _remember(self, wait: Wait) -> None:
        state = {
            **self.execution.state(wait),
            "text": self._stream.text,
            "sequence": self._stream.sequence,
            "answer_id": self._answer_id,
            "conversation_id": self._memory.conversation_id,
            "question_stored": self._memory.question_stored,
            "degraded": sorted(self._memory.degraded),
        }
        await self._run.checkpoint(STREAMED, state)

    def _answered(self) -> ChatAnswer:
        return structure(self._executed["answer"], ChatAnswer)

    def _answer(self, response: AgentResponse) -> ChatAnswer:
        return ChatAnswer(
            parent_message_id=self._run.message.payload["message_id"],
            message_id=self._answer_id,
            content=response.response,
            sources=response.sources,
            tool_calls=response.tool_calls,
            usage=response.usage,
            degraded=sorted(self._memory.degraded),
        )

    def _took_ms(self) -> int:
        return max(0, now_ms() - from_timestamp(self._run.message.created_at))

    async def say_goodbye(self, partial: Partial) -> None:
        """Stop the execution, and keep what was said if the turn was stopped for good."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_SECONDS):
            async with open_joined_nursery() as nursery:
                nursery.start_soon(self.execution.cancel)
                if self._run.stopped:
                    await self._keep(partial)

    async def _keep(self, partial: Partial) -> None:
        call = evolve(self._call, deadline=trio.current_time() + GOODBYE_SECONDS)
        if self._executed:
            partial.answer = self._answered()
        elif self._stream.text:
            partial.answer = self._answer(AgentResponse(self._stream.text))
        if partial.answer is not None:
            partial.answer = evolve(partial.answer, processing_time_ms=self._took_ms())
        if not self._memory.question_stored:
            await self._memory.store_question(call)
        if partial.answer is not None:
            await self._memory.store_answer(call, _said(partial.answer, {"interrupted": True}))
        partial.conversation_id = self._memory.conversation_id


def _said(answer: ChatAnswer, metadata: dict[str, Any]) -> HistoryMessage:
    metadata = {**metadata, "parent_message_id": answer.parent_message_id, "usage": unstructure(answer.usage)}
    return HistoryMessage(
        answer.message_id, Speaker.ASSISTANT, answer.content, to_timestamp(now_ms()), answer.content_type, metadata
    )
