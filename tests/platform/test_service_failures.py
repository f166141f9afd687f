"""Failures of services in every documented form: their codes survive in `details`, and decide what may be repeated."""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from tests.end_to_end.stack import Stack
from tests.platform.documented_services import DocumentedServices
from tests.platform.entries import open_writer
from tests.platform.test_services import documented_stack
from tests.platform.vectors import vector
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked

CALLS: Final[dict[str, tuple[str, str, Callable[[int], dict[str, Any]]]]] = {
    "AGEX": ("agent_execution", "execute", lambda number: {"agent_id": f"a{number}", "query": "?"}),
    "WFLOW": ("workflow_engine", "validate", lambda _: {"steps": []}),
    "CONV": ("conversation", "messages", lambda _: {"conversation_id": "$.input.session_id"}),
    "TOOL": ("tool_registry", "execute", lambda number: {"tool_id": f"t{number}", "parameters": {}}),
    "AGMT": ("agent_management", "get", lambda number: {"agent_id": f"a{number}"}),
}
"""A call of each service in a plan: its operation, and its parameters."""
ENDED: Final = frozenset({"completed", "failed", "partial"})


def _common(code: str) -> dict[str, Any]:
    message: dict[str, Any] = vector("err-common").filled({})
    return {"error": {**message["error"], "code": code, "details": {}}}


def _message(code: str) -> dict[str, Any]:
    message = vector("err-message").filled({})
    return {**message, "metadata": {"error_code": code, "error_message": "it failed"}, "payload": {}}


def _within(code: str) -> dict[str, Any]:
    message = vector("svc-am-error").filled({})
    return {**message, "metadata": {"error": {"code": code, "message": "it failed"}}, "payload": {}}


PLACES: Final = (_common, _message, _within)
"""Where a service puts its code."""
RECOVERIES: Final[list[tuple[dict[str, Any], bool]]] = [
    ({}, True),
    ({"recovery_action": "retry", "error_category": None}, True),
    ({"recovery_action": "fallback", "error_category": None}, True),
    ({"recovery_action": None, "error_category": "server"}, True),
    ({"error_category": "client"}, False),
    ({"error_category": "validation"}, False),
    ({"error_category": "security"}, False),
]
"""What a message says of a failure beside its code, and whether a later try may succeed."""


def _rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all documented codes of services, each with the service that tells it."""
    for row in vector("err-service-codes").example:
        yield str(row["code"]).partition("_")[0], row
    names = {"workflow_engine": "WFLOW", "conversation": "CONV", "tool_registry": "TOOL", "agent_management": "AGMT"}
    for row in vector("err-dotted-codes").example:
        yield names[row["service"]], row


def _expected(status: int | None) -> str:
    return {404: "ORCH_NOTF_001", 408: "ORCH_EXEC_001", 504: "ORCH_EXEC_001"}.get(status or 0, "ORCH_CONN_002")


async def test_failures_of_services_are_told_as_documented(tmp_path: Path) -> None:
    async with documented_stack(tmp_path) as (stack, services):
        session = await stack.session()
        for family in CALLS:
            await _codes(stack, services, family, session)
        for number, (changes, retryable) in enumerate(RECOVERIES):
            await _recovery(stack, services, session, number, changes, retryable=retryable)
        await _news(stack, services)


async def _plan(stack: Stack, session: str, calls: dict[str, Any]) -> dict[str, Any]:
    """Run calls of services, each to its own end; returns what became of each."""
    async with stack.client() as client:
        plan = {"calls": calls, "strategy": "parallel", "on_failure": "partial"}
        body = {"plan": plan, "input": {"session_id": session}, "session_id": session}
        task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]
    return dict((await _ended(stack, task_id))["calls"])


async def _ended(stack: Stack, task_id: str) -> dict[str, Any]:
    async with stack.client() as client:

        async def look() -> dict[str, Any]:
            return dict((await client.get(f"/api/v1/workflow.results/{task_id}")).json()["data"])

        return await eventually("the run has ended", look, lambda found: found["status"] in ENDED)


def _call(family: str, number: int) -> dict[str, Any]:
    service, operation, parameters = CALLS[family]
    return {"service": service, "operation": operation, "parameters": parameters(number), "retry_policy": "once"}


def _told(results: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """The code of the service that failed, with our code and whether a later try may succeed."""
    errors = [one["error"] for one in results.values()]
    return {error["details"][0]["message"].partition(": ")[0]: (error["code"], error["retryable"]) for error in errors}


async def _codes(stack: Stack, services: DocumentedServices, family: str, session: str) -> None:
    rows = [row for name, row in _rows() if name == family]
    left = cycle(enumerate(rows))

    def fail(asked: Asked) -> tuple[int, Any]:
        number, row = next(left)
        if family == "AGEX":
            # What an agent has failed at is tried again, so each agent has a failure of its own.
            number = int(asked.path.split("/")[-2].removeprefix("a"))
            row = rows[number]
        return row["http_status"] or 400, PLACES[number % len(PLACES)](row["code"])

    services.answers[f"{CALLS[family][0]} *"] = fail
    results = await _plan(stack, session, {f"c{number}": _call(family, number) for number in range(len(rows))})
    services.answers.clear()
    assert _told(results) == {row["code"]: (_expected(row["http_status"]), row["retryable"]) for row in rows}


async def _recovery(
    stack: Stack, services: DocumentedServices, session: str, number: int, changes: dict[str, Any], *, retryable: bool
) -> None:
    message = vector("err-message").filled({})
    message["metadata"] = {name: value for name, value in (message["metadata"] | changes).items() if value}
    services.answers["conversation *"] = lambda _: ((503, 200)[number % 2], message)
    results = await _plan(stack, session, {"c0": _call("CONV", 0)})
    services.answers.clear()
    assert _told(results) == {"GEN_005": ("ORCH_CONN_002", retryable)}, changes
    [error] = [one["error"] for one in results.values()]
    assert error["details"][0]["message"] == "GEN_005: a service is away"


async def _news(stack: Stack, services: DocumentedServices) -> None:
    """A failure that is reported later, by a callback or as an entry of the queue, ends the run in the same words."""
    for by_queue, code, ours in ((False, "GEN_005", "ORCH_CONN_002"), (True, "WFLOW_EXEC_002", "ORCH_EXEC_001")):
        async with stack.client() as client:
            started = await client.post("/api/v1/workflow.execute", json={"workflow_id": "approval"})
        task_id = started.json()["data"]["task_id"]
        await services.execution_of(task_id)
        message = {**vector("err-message").filled({}), "task_id": task_id}
        message["metadata"]["error_code"] = code
        if by_queue:
            async with open_writer(stack) as writer:
                await writer.put(message)
        else:
            told = await services.report("/api/v1/orchestrator/workflows/callback", message)
            assert told.status_code == 200, told.text
        ended = await _ended(stack, task_id)
        assert (ended["status"], ended["error"]["code"]) == ("failed", ours)
        assert ended["error"]["details"][0]["message"] == f"{code}: a service is away"
        assert ended["error"]["retryable"]
