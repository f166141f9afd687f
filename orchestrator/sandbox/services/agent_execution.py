"""Agent Execution: runs the sandbox's agents, streams their output, and waits for their tools."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import orjson
import trio
from attrs import field, frozen

from orchestrator.clients.agent_execution import CANCEL, EXECUTE, GET, TOOL_RESULT
from orchestrator.models.common.ids import new_id
from orchestrator.sandbox.agents.calculator import CalculatorAgent
from orchestrator.sandbox.agents.confirm import ConfirmAgent
from orchestrator.sandbox.agents.docs_guide import DocsGuideAgent
from orchestrator.sandbox.agents.echo import EchoAgent
from orchestrator.sandbox.agents.llm import LlmAgent
from orchestrator.sandbox.agents.reporter import ReporterAgent
from orchestrator.sandbox.agents.turn import Agent, AgentFailed, ExecutionStatus, SandboxExecution, ToolCall, Turn
from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.serving.callbacks import TaskCallback, callback_for
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import SandboxAnswer, SandboxReply, Stream, Writer, json_reply
from orchestrator.sandbox.serving.model_server import ModelServer
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn, payload_reply

KEPT_EXECUTIONS: Final = 10_000
AGENTS: Final[dict[str, Agent]] = {
    "calculator": CalculatorAgent(),
    "confirm": ConfirmAgent(),
    "delegate": EchoAgent(),
    "docs-guide": DocsGuideAgent(),
    "echo": EchoAgent(),
    "llm": LlmAgent(),
    "reporter": ReporterAgent(),
}

Send = Callable[[bytes], Awaitable[None]]


@frozen
class AgentExecutionService:
    """The Agent Execution service."""

    fixtures: Fixtures
    gateway: GatewayClient
    model: ModelServer
    nursery: trio.Nursery
    executions: OrderedDict[tuple[str, str], SandboxExecution] = field(factory=OrderedDict, init=False)
    """The latest executions, by tenant and task."""

    async def execute(self, call: SandboxCall) -> SandboxAnswer:
        """Run an agent, and answer as a stream, whole, or later through the orchestrator's internal API.

        Later, where the request says so, or where the agent is configured so and the request has a callback token.
        """
        execution = self._begin(call)
        start = partial(AGENTS[execution.agent_id].start)
        callback = callback_for(call, self.gateway)
        later = execution.parameters.get("delegate") is True and callback.token is not None
        if later or call.get("delegate", bool, False):
            self.nursery.start_soon(self._deliver, callback, execution, start)
            return payload_reply({"task_id": execution.task_id, "status": "accepted"}, 202)
        return await self._answer(call, execution, start)

    async def tool_result(self, call: SandboxCall) -> SandboxAnswer:
        """Resume an agent with the result that it waits for; a repeated result gets the same continuation."""
        execution = self._find(call)
        tool_call_id = call.get("tool_call_id", str)
        replay = execution.continuations.get(tool_call_id)
        if replay is not None:
            return _replayed(replay) if call.get("stream", bool, False) else _whole(replay)
        pending = execution.pending
        if pending is None or pending.tool_call_id != tool_call_id:
            raise SandboxRefusal(409, "AGEX_CONF_001", "The agent does not wait for the result of this tool call.")
        pending.outcome = {
            "status": call.get("status", str),
            "result": call.payload.get("result"),
            "error_message": call.get("error_message", str, None),
        }
        agent = AGENTS[execution.agent_id]

        async def resume(turn: Turn) -> None:
            await agent.resume(turn, pending)

        return await self._answer(call, execution, resume, pending)

    async def cancel(self, call: SandboxCall) -> SandboxReply:
        """Stop an execution; one that has ended stays as it is."""
        execution = self._find(call)
        running = execution.status in {ExecutionStatus.RUNNING, ExecutionStatus.WAITING}
        if running:
            execution.status = ExecutionStatus.CANCELLED
            if execution.scope is not None:
                execution.scope.cancel()
        return payload_reply({"task_id": execution.task_id, "status": execution.status, "cancelled": running})

    async def get(self, call: SandboxCall) -> SandboxReply:
        """Return the state of an execution."""
        execution = self._find(call)
        return payload_reply(
            {
                "task_id": execution.task_id,
                "agent_id": execution.agent_id,
                "status": execution.status,
                "pending_tool_call_id": execution.pending.tool_call_id if execution.pending else None,
                "response": execution.response,
            }
        )

    def _begin(self, call: SandboxCall) -> SandboxExecution:
        agent_id = call.params["agent_id"]
        if agent_id not in AGENTS or not self.fixtures.has_agent(call.tenant_id, agent_id):
            raise SandboxRefusal(404, "AGEX_NOTF_002", f"The tenant has no agent {agent_id}.")
        config = call.get("agent_config", dict, {})
        task_id = call.payload.get("task_id") or call.message.get("task_id") or new_id()
        if not isinstance(task_id, str):
            raise SandboxRefusal(400, "AGEX_VAL_001", "task_id is no string.")
        execution = SandboxExecution(
            task_id=task_id,
            tenant_id=call.tenant_id,
            agent_id=agent_id,
            query=call.get("query", str),
            parameters=config.get("parameters") or {},
            context=_context(call.payload.get("context")),
            system_prompt=config.get("system_prompt") or "",
            correlation_id=call.message.get("correlation_id"),
            traceparent=call.request.headers.get("traceparent"),
        )
        self.executions[call.tenant_id, task_id] = execution
        if len(self.executions) > KEPT_EXECUTIONS:
            self.executions.popitem(last=False)
        return execution

    def _find(self, call: SandboxCall) -> SandboxExecution:
        execution = self.executions.get((call.tenant_id, call.params["task_id"]))
        if execution is None:
            raise call.missing("task")
        return execution

    async def _answer(
        self,
        call: SandboxCall,
        execution: SandboxExecution,
        work: Callable[[Turn], Awaitable[None]],
        resumed: ToolCall | None = None,
    ) -> SandboxAnswer:
        said = bytearray()

        async def run(writer: Writer | None) -> None:
            async def send(piece: bytes) -> None:
                said.extend(piece)
                if writer is not None:
                    await writer.send(piece)

            await self._run(execution, work, send)
            if resumed is not None:
                execution.continuations[resumed.tool_call_id] = bytes(said)

        if call.get("stream", bool, False):
            return Stream(run)
        await run(None)
        return _whole(bytes(said))

    async def _run(self, execution: SandboxExecution, work: Callable[[Turn], Awaitable[None]], send: Send) -> None:
        """Run the agent to its answer, its next tool call, its failure or its cancellation."""
        turn = Turn(execution, self.gateway, self.model, send)
        before = execution.status
        execution.status = ExecutionStatus.RUNNING
        try:
            with trio.CancelScope() as execution.scope:
                await work(turn)
                if execution.status is ExecutionStatus.RUNNING:
                    await turn.finish()
        except AgentFailed as error:
            execution.status = ExecutionStatus.FAILED
            await turn.fail(error)
        except trio.Cancelled:
            # The client has gone. A continuation can be requested again, anything else starts over.
            resumable = before is ExecutionStatus.WAITING
            execution.status = ExecutionStatus.WAITING if resumable else ExecutionStatus.ABANDONED
            raise
        finally:
            execution.scope = None
        if execution.status is ExecutionStatus.CANCELLED:
            await turn.fail(AgentFailed("AGEX_CANCELLED", "The execution was cancelled."))

    async def _deliver(
        self, callback: TaskCallback, execution: SandboxExecution, work: Callable[[Turn], Awaitable[None]]
    ) -> None:
        """Run delegated work, and report its progress and result to the orchestrator."""
        said = bytearray()

        async def send(piece: bytes) -> None:
            said.extend(piece)

        await callback.progress(status="running", progress=0.0)
        await self._run(execution, work, send)
        if execution.status is ExecutionStatus.COMPLETED:
            await callback.complete(execution.response)
            return
        last = _last(bytes(said))
        payload = last["payload"]
        if last["type"]["action"] == "error":
            await callback.fail(payload["code"], payload["message"])
        else:
            await callback.progress(status="waiting", tool_request=payload)


def _context(items: Any) -> dict[str, Any]:
    """Read what an agent is told beside the question: a list of items with a type each, or an object."""
    if isinstance(items, dict):
        return items
    found = {item["type"]: item.get("content") for item in items or [] if isinstance(item, dict) and "type" in item}
    return {"messages": found.get("conversation_history") or [], **found}


def _last(said: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(said.splitlines()[-1])
    return message


def _whole(said: bytes) -> SandboxReply:
    """Answer with the last message alone, for a client that does not stream."""
    last = _last(said)
    if last["type"]["action"] == "error":
        return json_reply({"type": last["type"], "error": last["payload"]}, 422)
    return json_reply({"type": last["type"], "payload": last["payload"]})


def _replayed(said: bytes) -> Stream:
    async def run(writer: Writer) -> None:
        await writer.send(said)

    return Stream(run)


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = AgentExecutionService(resources.fixtures, resources.gateway, resources.model, resources.nursery)
    return StandIn(
        "AGEX",
        (
            SandboxRoute(EXECUTE, service.execute),
            SandboxRoute(TOOL_RESULT, service.tool_result),
            SandboxRoute(CANCEL, service.cancel),
            SandboxRoute(GET, service.get),
        ),
    )
