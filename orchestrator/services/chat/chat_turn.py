"""A chat turn, from the user's message to the stored answer: a plan whose calls are always the same.

    agent ───┐
    context ─┼─▶ execution, streaming ─▶ kept ─┬─▶ answer
    tools ───┘          question ──────────────┘

The question is stored beside the execution: nothing before the answer depends on it, and the agent's first word need
not wait for it.

What has been read is not kept: a later attempt reads it again, in the version of the agent that the first one has
pinned. What has an effect is (`turn_checkpoints`): the agent's answer, and how the turn stood when it began to wait. So
a later attempt has fewer calls.

What an agent spends on language models is not counted here: agents reach those only through the gateway, which is
where it is counted (`services.gateway`). The figures of an answer are for those who read it.
"""

from functools import partial as bound
from typing import Any, Final

import trio
from attrs import evolve, field, frozen

from orchestrator.clients.registry import Clients
from orchestrator.codec import unstructure
from orchestrator.domain.joining import Speaking
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.agents.agent import AgentConfig, AgentResponse
from orchestrator.models.common.ids import derived_id
from orchestrator.models.common.timestamps import from_timestamp, now_ms, to_timestamp
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatAnswer, HistoryMessage, MessageStatus, Speaker
from orchestrator.models.tasks.waits import Wait
from orchestrator.services.chat.agent_pin import agent_of
from orchestrator.services.chat.turn_checkpoints import EXECUTED, STREAMED, ExecutedTurn, ResumeState
from orchestrator.services.chat.turn_deadline import in_time
from orchestrator.services.chat.turn_execution import Inputs, TurnExecution
from orchestrator.services.chat.turn_memory import TurnMemory
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.delegation.delegations import answer_of
from orchestrator.services.downstream.agent_catalog import TOOLS, AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone, TurnWaiting
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.shared.nursery import open_joined_nursery

GOODBYE_SECONDS: Final = 2.0


@frozen
class ChatTurnRunner:
    """Runs chat turns, with what all of them share."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    speaking: Speaking = field(factory=Speaking)

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        """Run one attempt at a chat turn.

        When it is cancelled, Agent Execution is told so. Where the turn was stopped (`run.stopped_by`), what
        was said so far is stored in Conversation, marked as interrupted, and left in `partial`. Both happen within
        `GOODBYE_SECONDS`.

        Raises:
            NotFound: there is no such agent.
            ServiceFault: a service that the turn can't do without is away, and stayed so.
            PlanTimeout: the turn's time was over (`metadata.timeout_ms`).
            FencedOut: another worker has taken the turn over; no more events are emitted.
        """
        timeout_ms = run.message.metadata.timeout_ms
        deadline = trio.current_time() + timeout_ms / 1000
        turn = _Turn(run, self, deadline)
        return await in_time(
            turn.run,
            deadline,
            stopped=bound(turn.say_goodbye, partial),
            late=bound(turn.execution.cancel, "timeout"),
            complaint=f"The turn was not finished within {timeout_ms} ms.",
        )


class _Turn:
    def __init__(self, run: Attempt, services: ChatTurnRunner, deadline: float) -> None:
        self._run = run
        self._services = services
        session = run.session
        self._call = call_of(run.message, deadline).within(
            agent_id=session.agent_id,
            # Until the conversation is begun, this is the id that it is proposed to have.
            conversation_id=session.conversation_id or session.session_id,
        )
        self._executed = ExecutedTurn.read(run.checkpoints)
        kept = ResumeState.read(run.checkpoints)
        self._resumed = None if kept is None or kept.is_over(run.message.metadata.retry_count) else kept
        # Derived, so that the id is known while the answer is still being streamed.
        self._answer_id = (kept and kept.answer_id) or derived_id(
            run.session.session_id, run.message.payload["message_id"]
        )
        self._announced = trio.Event()
        self._memory = TurnMemory(
            run,
            services.clients.conversation,
            services.coordinator,
            (kept and kept.conversation_id) or run.session.conversation_id,
            question_stored=kept is not None and kept.question_stored,
            degraded=set(kept.degraded if kept else ()),
        )
        resumed = self._resumed
        self._stream = TurnStream(
            run,
            self._announced,
            text=resumed.text if resumed else "",
            sequence=resumed.sequence if resumed else 0,
            broken=_resumption_of(resumed.wait) in run.checkpoints if resumed else run.attempt > 1,
            speaking=services.speaking,
        )
        self.execution = TurnExecution(run, self._call, services.clients, services.coordinator, self._stream, resumed)

    async def run(self) -> TurnDone | TurnWaiting:
        async with open_joined_nursery() as nursery:
            if self._executed or self._resumed:
                nursery.start_soon(self._announce)
                self._store_question(nursery)
            outcome = self._executed or await self._execute(nursery)
        if isinstance(outcome, Wait):
            await self._remember(outcome)
            return TurnWaiting((outcome,))
        answer = outcome.answer
        await self._memory.store_answer(self._call, _said(answer, {}))
        degraded = sorted(self._memory.degraded.union(answer.degraded))
        answer = evolve(answer, degraded=degraded, processing_time_ms=self._took_ms())
        return TurnDone(answer, self._memory.conversation_id, outcome.agent_version)

    async def _announce(self) -> None:
        message = self._run.message
        status = ChatStatusUpdate(message.payload["message_id"], message.task_id, MessageStatus.PROCESSING)
        await self._run.emit("chat.status_update", status)
        self._announced.set()

    def _store_question(self, nursery: trio.Nursery) -> None:
        if not self._memory.question_stored:
            nursery.start_soon(self._memory.store_question, self._call)

    async def _execute(self, nursery: trio.Nursery) -> ExecutedTurn | Wait:
        """Let the agent answer, and keep its answer before anything depends on it; a wait where it comes later."""
        if self._resumed is None:
            inputs = await self._read()
            self._store_question(nursery)
            agent, response = inputs.agent, await self.execution.start(inputs)
        else:
            wait = self._resumed.wait
            answer = answer_of(self._run.checkpoints, wait.call_id)
            if answer is None:
                # The worker was lost between remembering the turn and putting it aside: a client is yet to be asked.
                return wait
            agent = await agent_of(self._run, self._call, self._services.catalog)
            await self._run.checkpoint(_resumption_of(wait), result=True)
            response = await self.execution.resume(agent, wait, answer)
        if isinstance(response, Wait):
            return response
        self._executed = ExecutedTurn(self._answer(response), agent.version)
        await self._run.checkpoint(EXECUTED, unstructure(self._executed))
        return self._executed

    async def _read(self) -> Inputs:
        """Read all that the agent is given; what is to be written before it is asked is written meanwhile.

        The writes go one after another: as a rule a service answers later than Redis has taken them, and tasks of
        their own would cost more than they do.
        """
        agent: AgentConfig
        session, catalog = self._run.session, self._services.catalog
        context: dict[str, Any] = {}
        known = catalog.known_tools(self._call.tenant_id, session.agent_id)
        tools: list[dict[str, Any]] = [*(known or ())]

        async def recall() -> None:
            context.update(await self._memory.recall(self._call))

        async def list_tools() -> None:
            try:
                tools.extend(await catalog.tools(self._call, session.agent_id))
            except (ServiceFault, NotFound):
                self._memory.degraded.add(TOOLS.service)

        async with open_joined_nursery() as nursery:
            nursery.start_soon(recall)
            if known is None:
                nursery.start_soon(list_tools)
            await self._announce()
            await self.execution.prepare()
            agent = await agent_of(self._run, self._call, catalog)
        return Inputs(agent, context, tools)

    async def _remember(self, wait: Wait) -> None:
        state = evolve(
            self.execution.state(wait),
            text=self._stream.text,
            sequence=self._stream.sequence,
            answer_id=self._answer_id,
            conversation_id=self._memory.conversation_id,
            question_stored=self._memory.question_stored,
            degraded=tuple(sorted(self._memory.degraded)),
        )
        await self._run.checkpoint(STREAMED, state.kept())

    def _answer(self, response: AgentResponse) -> ChatAnswer:
        return ChatAnswer(
            parent_message_id=self._run.message.payload["message_id"],
            message_id=self._answer_id,
            content=response.response,
            sources=response.sources,
            tool_calls=response.tool_calls,
            usage=response.usage,
            thinking=response.thinking or None,
            degraded=sorted(self._memory.degraded),
        )

    def _took_ms(self) -> int:
        return max(0, now_ms() - from_timestamp(self._run.message.created_at))

    async def say_goodbye(self, partial: Partial) -> None:
        """Stop the execution, and keep what was said if the turn was stopped for good."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_SECONDS):
            async with open_joined_nursery() as nursery:
                nursery.start_soon(self.execution.cancel, self._run.stopped_by or "system")
                if self._run.stopped_by is not None:
                    await self._keep(partial)

    async def _keep(self, partial: Partial) -> None:
        call = evolve(self._call, deadline=trio.current_time() + GOODBYE_SECONDS)
        if self._executed is not None:
            partial.answer = self._executed.answer
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


def _resumption_of(wait: Wait) -> str:
    """Name the checkpoint that says that an attempt has gone on with the answer to a wait."""
    return f"resumed:{wait.call_id}"
