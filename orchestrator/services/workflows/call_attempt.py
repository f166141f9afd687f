"""The run of an agent as a call of a plan: what is kept of it is kept in the plan's task, under the call's name."""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import evolve, field, frozen

from orchestrator.codec import structure, unstructure
from orchestrator.errors import InvalidBody
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.sessions.chat import ChatAnswer, HistoryMessage
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy, TaskMessage
from orchestrator.models.tasks.waits import ANSWER, Callback, Wait
from orchestrator.services.chat.turn_checkpoints import EXECUTED
from orchestrator.services.delegation.delegations import Delegating
from orchestrator.services.plans.attempt import PlanAttempt
from orchestrator.services.plans.call_executor import PlannedCall
from orchestrator.services.workflows.ephemeral_session import ephemeral_session


@frozen
class AgentAsked:
    """The parameters of `agent_execution.execute` in a plan."""

    agent_id: str
    query: str
    agent_config: AgentConfig | None = None
    """None: as Agent Management keeps it."""
    context: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    """None: those that the agent may use."""
    max_tokens: int | None = None


def asked(parameters: Mapping[str, Any]) -> AgentAsked:
    """Read the parameters of a call.

    Raises:
        InvalidBody: they do not fit, with every fault and its path; or the configuration is another agent's.
    """
    agent = structure(dict(parameters), AgentAsked, "$.parameters")
    if agent.agent_config is not None and agent.agent_config.agent_id != agent.agent_id:
        fault = FieldFault("$.parameters.agent_config.agent_id", "must be the agent that is asked")
        raise InvalidBody("The configuration is that of another agent.", details=[fault])
    return agent


def result_of_agent(answer: ChatAnswer) -> dict[str, Any]:
    """Return the result of a call."""
    return {
        "response": answer.content,
        "sources": answer.sources,
        "tool_calls": answer.tool_calls,
        "usage": unstructure(answer.usage),
        "degraded": answer.degraded,
    }


@frozen
class CallAttempt:
    """An `Attempt` within an attempt at a plan: without followers and history.

    Args:
        plan: the run of the plan.
        name: of the call.
        message: the question, as the message of a turn.
        agent_id: who is asked.
    """

    plan: PlanAttempt
    name: str
    message: TaskMessage
    agent_id: str
    attempt: int = 1
    checkpoints: Mapping[str, Any] = field(init=False)

    @checkpoints.default
    def _inner_checkpoints(self) -> Mapping[str, Any]:
        mine, answers = f"{self.name}.", f"{ANSWER}{self.name}."
        inner = {}
        for name, kept in self.plan.checkpoints.items():
            if name.startswith(mine):
                inner[name.removeprefix(mine)] = kept
            elif name.startswith(answers):
                inner[ANSWER + name.removeprefix(answers)] = kept
        return inner

    @classmethod
    def of(cls, call: PlannedCall, agent: AgentAsked) -> "CallAttempt":
        """Make the run of a call."""
        message = call.run.message
        left_ms = max(1, round((call.context.deadline - trio.current_time()) * 1000))
        payload = {"message_id": message.task_id, "content": agent.query, **_given(agent)}
        metadata = evolve(message.metadata, timeout_ms=left_ms)
        question = evolve(message, payload=payload, metadata=metadata)
        return cls(call.run, call.name, question, agent.agent_id)

    @property
    def session(self) -> Session:
        """What stands for a session where a turn's parts ask for one; it is stored nowhere."""
        return ephemeral_session(self.message, self.agent_id)

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped the plan; None: it was not stopped."""
        return self.plan.stopped_by

    @property
    def delegations(self) -> Delegating:
        """Hands calls on under the name of this one."""
        return _Inner(self.plan.delegations, self.name)

    async def emit(self, name: str, data: object) -> None:
        """Tell nothing: followers of the plan are told its progress."""

    async def checkpoint(self, name: str, result: Any) -> None:
        """Keep something for later attempts; the answer itself is kept as the call's result."""
        if name != EXECUTED:
            await self.plan.checkpoint(f"{self.name}.{name}", result)

    async def recent(self) -> list[HistoryMessage]:
        """Return nothing: a call has no past."""
        return []

    def outer(self, wait: Wait) -> Wait:
        """Return a wait under the name that it has in the plan's task."""
        return evolve(wait, call_id=f"{self.name}.{wait.call_id}")


@frozen
class _Inner:
    """Hands calls on under the name of the call that they belong to; see `Delegating`."""

    outer: Delegating
    name: str

    async def register(self, call_id: str, service: str, timeout_ms: int) -> Callback | None:
        return await self.outer.register(f"{self.name}.{call_id}", service, timeout_ms)

    async def sent(self, call_id: str, service: str, execution_id: str = "") -> None:
        await self.outer.sent(f"{self.name}.{call_id}", service, execution_id)


def _given(agent: AgentAsked) -> dict[str, Any]:
    fields: dict[str, Any] = unstructure(agent)
    return {name: value for name, value in fields.items() if value is not None and name not in {"query"}}
