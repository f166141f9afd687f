"""The operations of all services: where each call goes, what it carries, and what is read from its answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from orchestrator.clients.conversation import ConversationContext
from orchestrator.clients.opening import open_clients
from orchestrator.clients.registry import Clients
from orchestrator.codec import unstructure
from orchestrator.errors import BadGateway, InvalidAnswer, ServiceRefused, ServiceUnreachable
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.page import Page
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.sessions.chat import HistoryMessage, Speaker
from orchestrator.models.tasks.waits import Callback
from tests.support.calls import call_context, services_at
from tests.support.scripted_server import Asked, reply, serve

Operation = Callable[[Clients, CallContext], Awaitable[Any]]
SAID = HistoryMessage("m1", Speaker.USER, "Hello", "2026-01-01T00:00:00.000Z")


async def outcome_of(operation: Operation, answer: Any) -> tuple[Any, Asked]:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, answer)

    async with serve(handler) as url, open_clients(services_at(url)) as clients:
        result = await operation(clients, call_context())
    return result, seen[0]


@pytest.mark.parametrize(
    ("operation", "request_line", "answer", "result"),
    [
        (
            lambda c, x: c.conversation.create(x, "c1", session_id="s1", user_id="ana", agent_id="echo"),
            "POST /api/v1/conversations",
            {"conversation_id": "c9"},
            "c9",
        ),
        (lambda c, x: c.conversation.append(x, "c1", SAID), "POST /api/v1/conversations/c1/messages", {}, None),
        (
            lambda c, x: c.conversation.messages(x, "c1", before=None, after=None, limit=5),
            "GET /api/v1/conversations/c1/messages?offset=0&limit=5",
            {"messages": [unstructure(SAID)], "has_more": True},
            Page([SAID], SAID.message_id),
        ),
        (
            lambda c, x: c.conversation.delete(x, "c1", "m/1"),
            "DELETE /api/v1/conversations/c1/messages/m%2F1",
            {},
            None,
        ),
        (
            lambda c, x: c.conversation.context(x, "c1", max_tokens=10, message_count=2),
            "GET /api/v1/internal/context/c1?max_tokens=10&message_count=2",
            {"messages": [], "context_summary": None, "total_tokens": 3, "has_more": True},
            ConversationContext([], "", 3),
        ),
        (
            lambda c, x: c.agent_management.list(x),
            "GET /api/v1/agents/acme",
            {"agents": [{"agent_id": "echo"}]},
            [{"agent_id": "echo"}],
        ),
        (
            lambda c, x: c.agent_management.get(x, "echo", "2"),
            "GET /api/v1/agents/acme/echo?version=2&include_memory=true",
            {"agent_id": "echo", "version": "2", "name": "Echo", "unknown": 1},
            AgentConfig("echo", "2", "Echo"),
        ),
        (
            lambda c, x: c.agent_management.feedback(x, "echo", {"rating": 5}),
            "POST /api/v1/agents/acme/echo/feedback",
            {},
            None,
        ),
        (lambda c, x: c.agent_execution.cancel(x, "e1"), "POST /api/v1/tasks/e1/cancel", {}, None),
        (
            lambda c, x: c.workflow_engine.definitions(x),
            "GET /api/v1/workflow/definitions",
            {"definitions": [{"workflow_id": "w"}]},
            [{"workflow_id": "w"}],
        ),
        (
            lambda c, x: c.workflow_engine.definition(x, "w"),
            "GET /api/v1/workflow/definitions/w",
            {"workflow_id": "w"},
            {"workflow_id": "w"},
        ),
        (
            lambda c, x: c.workflow_engine.execute(x, "w", {"a": 1}, Callback("t1", "token")),
            "POST /api/v1/workflow/execute",
            {"execution_id": "e1"},
            "e1",
        ),
        (
            lambda c, x: c.workflow_engine.execution(x, "e1"),
            "GET /api/v1/workflow/executions/e1",
            {"status": "running"},
            {"status": "running"},
        ),
        (lambda c, x: c.workflow_engine.cancel(x, "e1"), "POST /api/v1/workflow/executions/e1/cancel", {}, None),
        (
            lambda c, x: c.workflow_engine.answer_input(x, "e1", "n1", True),
            "POST /api/v1/workflow/executions/e1/input",
            {},
            None,
        ),
        (
            lambda c, x: c.tool_registry.list(x, "echo"),
            "GET /api/v1/tools?types=rag%2Cexternal_api%2Csync%2Casync%2Cclient&agent_id=echo",
            {"tools": [{"tool_id": "t"}]},
            [{"tool_id": "t"}],
        ),
        (lambda c, x: c.tool_registry.get(x, "t"), "GET /api/v1/tools/t", {"tool_id": "t"}, {"tool_id": "t"}),
        (
            lambda c, x: c.tool_registry.execute(x, "t", {"a": 1}),
            "POST /api/v1/tools/execute",
            {"status": "success", "result": 2},
            ToolOutcome(ToolStatus.SUCCESS, 2),
        ),
        (
            lambda c, x: c.tool_registry.execute(x, "t", {}),
            "POST /api/v1/tools/execute",
            {"status": "accepted"},
            ToolOutcome(ToolStatus.ERROR, error_message="The tool answers later, and can't be waited for here."),
        ),
        (
            lambda c, x: c.tool_registry.async_execute(x, "t", {}, Callback("t1", "secret")),
            "POST /api/v1/tools/async-execute",
            {"execution_id": "x1", "task_id": "t1"},
            "x1",
        ),
    ],
)
async def test_each_operation_asks_as_its_service_expects(
    operation: Operation, request_line: str, answer: dict[str, Any], result: Any
) -> None:
    found, asked = await outcome_of(operation, {"payload": answer})
    assert found == result
    assert f"{asked.method} {asked.target}" == request_line
    if asked.method == "POST":
        assert {"type", "metadata", "payload"} <= asked.body.keys()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"payload": {"agent_id": "echo", "name": "Echo"}}, InvalidAnswer, r"\$\.payload\.version is missing"),
        ({"payload": {"agent_id": "echo", "version": [], "name": "Echo"}}, InvalidAnswer, "version must be a string"),
        ({"payload": {"agent_id": 5}}, InvalidAnswer, r"agent_id must be a string"),
        ({"payload": []}, InvalidAnswer, "payload must be an object"),
        ({"agent_id": "echo"}, InvalidAnswer, "payload is missing"),
        ({"error": {"code": "AMGT_1", "message": "No."}}, ServiceRefused, "could not do it"),
        ({"error": {"code": "AMGT_1", "retryable": True}}, BadGateway, "could not do it"),
    ],
)
async def test_an_answer_must_have_its_fields(answer: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await outcome_of(lambda clients, call: clients.agent_management.get(call, "echo"), answer)
    assert caught.group_contains(kind, match=words)


async def test_services_that_are_not_set_up_are_no_fault_until_they_are_called() -> None:
    async with open_clients({}) as clients:
        with pytest.raises(ServiceUnreachable, match="ORCH_SERVICES__CONVERSATION__URL is empty"):
            await clients.conversation.messages(call_context(), "c1", before=None, after=None, limit=1)
