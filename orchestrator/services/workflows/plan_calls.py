"""The calls of plans: any operation of the downstream services, each in the way that is right for it.

- Query and Embedding are asked through the gateway, which reserves, shares and counts what they spend.
- `agent_execution.execute` runs the agent to its end, with the tools that it asks for (`call_attempt`).
- `tool_registry.execute` fails where the tool does.
- What a service may answer later is handed on with a callback, and waited for without a slot.
- All others are one request: their result is the payload, or the plain fields, of the answer.
"""

import math
from collections.abc import Awaitable
from typing import Any, TypeVar

import trio
from attrs import evolve, frozen

from orchestrator.clients import agent_execution, embedding, query, tool_registry
from orchestrator.clients.registry import OPERATIONS, Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import result
from orchestrator.errors import CallTimeout, ServiceRefused, Unprocessable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import Principal, RequestContext, Role
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.plans.orchestration import ONCE
from orchestrator.models.tasks.waits import AnswerStatus, Wait, WaitKind
from orchestrator.services.chat.turn_tools import DELEGATED_MS
from orchestrator.services.delegation.delegations import answer_of, result_of
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway import Gateway
from orchestrator.services.plans.attempt import CallWaits, Partial, TurnRunner, TurnWaiting
from orchestrator.services.plans.call_executor import PlannedCall
from orchestrator.services.workflows.call_attempt import CallAttempt, asked, result_of_agent

T = TypeVar("T")


@frozen
class PlanCalls:
    """Makes the calls of plans; a `CallExecutor`.

    Args:
        clients: the services.
        coordinator: how they are called.
        gateway: the way to Query and Embedding.
        agents: runs agents outside of conversations.
    """

    clients: Clients
    coordinator: ServiceCoordinator
    gateway: Gateway
    agents: TurnRunner

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call, and return its result; see `CallExecutor.perform`."""
        if call.step.idempotent is False:
            call = evolve(call, step=evolve(call.step, retry_policy=ONCE))
        operation = OPERATIONS[call.step.service, call.step.operation]
        match operation:
            case agent_execution.EXECUTE:
                return await self._run_agent(call)
            case tool_registry.EXECUTE:
                return await self._run_tool(call)
            case query.GENERATE:
                return await _within(call, self.gateway.generate(_context(call), call.step.parameters))
            case query.SEARCH:
                return await _within(call, self.gateway.search(_context(call), call.step.parameters))
            case embedding.CREATE:
                return await _within(call, self.gateway.embed(_context(call), call.step.parameters))
        if operation.delegable:
            return await self._hand_on(call, operation)
        return (await self._ask(call, operation, call.step.parameters)).fields

    async def _ask(
        self, call: PlannedCall, operation: Operation, parameters: dict[str, Any], **metadata: str
    ) -> ServiceAnswer:
        _check_places(operation, parameters)
        transport = self.clients.transport(operation.service)
        message = call.run.message
        belongs = {"user_id": message.metadata.user_id, "session_id": message.session_id, **metadata}

        async def ask(limited: CallContext) -> ServiceAnswer:
            answer = await transport.call(limited, operation, parameters, **belongs)
            return evolve(result(operation, answer), accepted=answer.accepted)

        context = call.context
        if operation.callee:
            context = context.to(operation.callee.removesuffix("_id"), str(parameters[operation.callee]))
        return await self.coordinator.run(call.step, context, ask)

    async def _hand_on(self, call: PlannedCall, operation: Operation) -> Any:
        """Have a service take a call on; it may also answer at once.

        Where it has answered that it failed, and the task starts over, it is asked for the work anew, by another name.
        """
        failures = call.run.message.metadata.retry_count
        call_id = f"{call.name}.{failures}" if failures else call.name
        answer = answer_of(call.run.checkpoints, call_id)
        if answer is None and call.answer is not None and call.answer.status is AnswerStatus.COMPLETED:
            answer = call.answer
        if answer is not None:
            return result_of(answer)
        timeout_ms = call.step.timeout_ms or DELEGATED_MS
        wait = Wait(call_id, WaitKind.DELEGATED, timeout_ms)
        callback = await call.run.delegations.register(call_id, operation.service, timeout_ms)
        if callback is None:
            raise CallWaits(wait)
        if failures:
            call = evolve(call, context=call.context.keyed(f"{call.context.idempotency_key}:{failures}"))
        parameters = {**call.step.parameters, "task_id": callback.task_id}
        belongs = {"task_id": callback.task_id, "callback_token": callback.token}
        told = await self._ask(call, operation, parameters, **belongs)
        if not told.accepted:
            return told.fields
        await call.run.delegations.sent(call_id, operation.service, told.text("execution_id", ""))
        raise CallWaits(wait)

    async def _run_agent(self, call: PlannedCall) -> Any:
        run = CallAttempt.of(call, asked(call.step.parameters))
        done = await _within(call, self.agents.run(run, Partial()))
        if isinstance(done, TurnWaiting):
            raise CallWaits(run.outer(done.waits[0]))
        return result_of_agent(done.answer)

    async def _run_tool(self, call: PlannedCall) -> Any:
        tool_id, parameters = str(call.step.parameters["tool_id"]), call.step.parameters["parameters"]
        if not isinstance(parameters, dict):
            raise _misplaced("parameters", "must be an object")

        async def execute(limited: CallContext) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, tool_id, parameters)

        outcome = await self.coordinator.run(call.step, call.context.to("tool", tool_id), execute)
        if outcome.status is ToolStatus.ERROR:
            raise ServiceRefused(outcome.error_message or "The tool failed.", service=call.step.service)
        return {"status": outcome.status, "result": outcome.data}


async def _within(call: PlannedCall, work: Awaitable[T]) -> T:
    """Await something that knows nothing of the call's time."""
    timeout_ms = call.step.timeout_ms
    deadline = call.context.deadline if timeout_ms is None else trio.current_time() + timeout_ms / 1000
    with trio.CancelScope(deadline=min(deadline, call.context.deadline)):
        return await work
    raise CallTimeout(f"{call.step.service}.{call.step.operation} did not end in time.", service=call.step.service)


def _context(call: PlannedCall) -> RequestContext:
    """Return what the gateway asks for: the plan's user, as whom it acts."""
    message, context = call.run.message, call.context
    principal = Principal(message.tenant_id, message.metadata.user_id, Role.USER, frozenset(), math.inf)
    return RequestContext(
        principal,
        context.request_id,
        context.correlation_id,
        context.trace,
        idempotency_key=context.idempotency_key,
    )


def _check_places(operation: Operation, parameters: dict[str, Any]) -> None:
    """See to it that what stands in a path or a query is one value; a reference may have brought something else."""
    for name, value in parameters.items():
        if (operation.reads or name in operation.path_parameters) and isinstance(value, dict | list):
            raise _misplaced(name, "must be one value")


def _misplaced(name: str, message: str) -> Unprocessable:
    return Unprocessable(f"The parameter {name!r} {message}.", details=[FieldFault(f"$.parameters.{name}", message)])
