"""Tool Registry: a few real tools, run at once or in the background."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

import trio

from orchestrator.clients.tool_registry import ASYNC_EXECUTE, EXECUTE, GET, LIST
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.services.arithmetic import ArithmeticFault, evaluate
from orchestrator.sandbox.serving.callbacks import TaskCallback, callback_for
from orchestrator.sandbox.serving.gateway import GatewayClient
from orchestrator.sandbox.serving.http_server import SandboxReply
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn, payload_reply

_TYPES: Final[dict[str, type]] = {"string": str, "integer": int}
DEFAULT_DURATION_MS: Final = 500


class ToolFailed(Exception):
    """A tool ran and has no result; the message says why."""


async def _calculator(parameters: dict[str, Any]) -> Any:
    try:
        return evaluate(parameters["expression"])
    except ArithmeticFault as error:
        raise ToolFailed(f"{error}.") from None


async def _current_time(parameters: dict[str, Any]) -> Any:
    return {"utc": to_timestamp(now_ms())}


async def _word_count(parameters: dict[str, Any]) -> Any:
    return {"words": len(parameters["text"].split()), "characters": len(parameters["text"])}


async def _slow_report(parameters: dict[str, Any]) -> Any:
    await trio.sleep(parameters.get("duration_ms", DEFAULT_DURATION_MS) / 1000)
    return {"topic": parameters["topic"], "report": f"There is nothing new about {parameters['topic']}."}


_TOOLS: Final[dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]] = {
    "calculator": _calculator,
    "current_time": _current_time,
    "word_count": _word_count,
    "slow_report": _slow_report,
}


class ToolRegistryService:
    """The Tool Registry service.

    Args:
        fixtures: the tools as they are described.
        gateway: receives the results of background runs.
        nursery: of background runs.
    """

    def __init__(self, fixtures: Fixtures, gateway: GatewayClient, nursery: trio.Nursery) -> None:
        self._tools = fixtures.tools
        self._gateway = gateway
        self._nursery = nursery

    async def list_tools(self, call: SandboxCall) -> SandboxReply:
        """Return all tools, or those that an agent may use."""
        agent_id = call.request.query.get("agent_id")
        tools = [tool for tool in self._tools.values() if agent_id is None or {"*", agent_id} & {*tool["agents"]}]
        return payload_reply({"tools": tools})

    async def get(self, call: SandboxCall) -> SandboxReply:
        """Return one tool."""
        return payload_reply(self._find(call.params["tool_id"]))

    async def execute(self, call: SandboxCall) -> SandboxReply:
        """Run a tool; a failure of the tool is an answer too."""
        tool_id, parameters = self._check(call)
        started = perf_counter()
        outcome: dict[str, Any]
        try:
            outcome = {"status": "success", "result": await _TOOLS[tool_id](parameters)}
        except ToolFailed as error:
            outcome = {"status": "error", "error_message": str(error)}
        return payload_reply({"tool_id": tool_id, **outcome, "execution_time_ms": (perf_counter() - started) * 1000})

    async def async_execute(self, call: SandboxCall) -> SandboxReply:
        """Start a tool; its result is reported to the orchestrator."""
        tool_id, parameters = self._check(call)
        callback = callback_for(call, self._gateway)
        if not callback.task_id:
            raise SandboxRefusal(400, "TOOL_VAL_001", "task_id is missing: the result could not be reported.")
        self._nursery.start_soon(_run_for, callback, tool_id, parameters)
        return payload_reply({"execution_id": new_id(), "task_id": callback.task_id, "status": "accepted"}, 202)

    def _find(self, tool_id: str) -> dict[str, Any]:
        tool = self._tools.get(tool_id)
        if tool is None:
            raise SandboxRefusal(404, "TOOL_NOTF_001", f"There is no tool {tool_id}.")
        return tool

    def _check(self, call: SandboxCall) -> tuple[str, dict[str, Any]]:
        tool_id, parameters = call.get("tool_id", str), call.get("parameters", dict, {})
        tool = self._find(tool_id)
        if tool["kind"] == "client":
            raise SandboxRefusal(422, "TOOL_EXEC_001", f"{tool_id} runs at the client, not here.")
        _check_parameters(tool["parameters"], parameters)
        return tool_id, parameters


async def _run_for(callback: TaskCallback, tool_id: str, parameters: dict[str, Any]) -> None:
    await callback.progress(status="running", progress=0.0)
    try:
        result = await _TOOLS[tool_id](parameters)
    except ToolFailed as error:
        await callback.fail("TOOL_EXEC_002", str(error))
    else:
        await callback.complete({"tool_id": tool_id, "status": "success", "result": result})


def _check_parameters(schema: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Validate parameters against the subset of JSON Schema that the fixtures use."""
    for name in schema["required"]:
        if name not in parameters:
            raise SandboxRefusal(422, "TOOL_VAL_002", f"The parameter {name} is missing.")
    for name, value in parameters.items():
        wanted = schema["properties"].get(name)
        if wanted is None:
            raise SandboxRefusal(422, "TOOL_VAL_002", f"{name} is no parameter of this tool.")
        if not isinstance(value, _TYPES[wanted["type"]]) or isinstance(value, bool):
            raise SandboxRefusal(422, "TOOL_VAL_002", f"The parameter {name} is no {wanted['type']}.")
        if isinstance(value, int) and not wanted["minimum"] <= value <= wanted["maximum"]:
            raise SandboxRefusal(422, "TOOL_VAL_002", f"The parameter {name} is out of range.")


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = ToolRegistryService(resources.fixtures, resources.gateway, resources.nursery)
    return StandIn(
        "TOOL",
        (
            SandboxRoute(LIST, service.list_tools),
            SandboxRoute(GET, service.get),
            SandboxRoute(EXECUTE, service.execute, creates=True),
            SandboxRoute(ASYNC_EXECUTE, service.async_execute, creates=True),
        ),
    )
