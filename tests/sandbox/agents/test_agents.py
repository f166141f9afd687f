"""The sandbox's agents, as Agent Execution streams them."""

from typing import Any

import orjson
import pytest
import trio

from orchestrator.sandbox.agents.calculator import find_expression
from orchestrator.sandbox.platform import Sandbox
from orchestrator.sandbox.ports import free_port
from orchestrator.sandbox.serving.http_client import streamed_lines
from orchestrator.sandbox.serving.http_server import Request, Stream, Writer, listen
from tests.sandbox.conftest import Client, actions
from tests.sandbox.orchestrator import FakeOrchestrator
from tests.support.eventually import PATIENCE, eventually
from tests.support.http import loopback_client

EXECUTE = "/api/v1/agents/echo/execute"


def said(messages: list[dict[str, Any]]) -> str:
    return "".join(message["payload"]["token"] for message in messages if message["type"]["action"] == "token")


def response(messages: list[dict[str, Any]]) -> dict[str, Any]:
    assert messages[-1]["type"] == {"domain": "agent", "action": "response"}
    payload: dict[str, Any] = messages[-1]["payload"]
    return payload


async def test_echo_says_what_it_heard_word_by_word(client: Client) -> None:
    messages = await client.execute("echo", "Hello  there,\nAna")
    tokens = [message["payload"]["token"] for message in messages[:-1]]
    assert tokens == ["Hello  ", "there,\n", "Ana", ""]
    assert [message["metadata"]["sequence"] for message in messages] == [1, 2, 3, 4, 5]
    assert [message["payload"]["is_last"] for message in messages[:-1]] == [False, False, False, True]
    answer = response(messages)
    assert answer["response"] == "Hello  there,\nAna"
    assert (answer["completion_tokens"], answer["sources"], answer["tool_calls"]) == (3, [], [])
    assert answer["total_tokens"] == answer["prompt_tokens"] + answer["completion_tokens"]


@pytest.mark.parametrize(("query", "count"), [("echo 200 words", 200), ("Echo 1 word", 1), ("echo 0 words", 0)])
async def test_echo_makes_as_many_words_as_asked(client: Client, query: str, count: int) -> None:
    messages = await client.execute("echo", query)
    assert len(said(messages).split()) == count
    assert response(messages)["response"] == said(messages)


async def test_echo_takes_its_time_when_asked(client: Client) -> None:
    started = trio.current_time()
    messages = await client.execute("echo", "echo 6 words every 10 ms")
    assert len(said(messages).split()) == 6
    assert trio.current_time() - started >= 0.05


async def test_echo_takes_its_time_where_it_is_configured_to(client: Client) -> None:
    started = trio.current_time()
    await client.execute("echo", "one two three", agent_config={"parameters": {"delay_ms": 20}})
    assert trio.current_time() - started >= 0.04


async def test_words_arrive_as_they_are_made(client: Client) -> None:
    body = {"task_id": "t1", "payload": {"query": "echo 1000 words every 50 ms", "stream": True}}
    async with (
        client.http.stream(
            "POST", client.urls["agent_execution"] + EXECUTE, json=body, headers={"X-Tenant-ID": "acme"}
        ) as answer,
        streamed_lines(answer) as words,
    ):
        for _ in range(3):
            await anext(words)
        assert await status_of(client, "t1") == "running"


async def test_without_a_stream_the_answer_comes_whole(client: Client) -> None:
    answer = await client.post("agent_execution", EXECUTE, {"query": "Hello there"}, task_id="t1")
    assert answer["response"] == "Hello there"


async def test_a_finished_execution_can_be_looked_up(client: Client, globex: Client) -> None:
    await client.execute("echo", "Hello", "t1")
    found = await client.get("agent_execution", "/api/v1/tasks/t1")
    assert (found["status"], found["response"]["response"]) == ("completed", "Hello")
    other = await globex.ask("GET", "agent_execution", "/api/v1/tasks/t1")
    assert (other.status_code, other.json()["error"]["code"]) == (404, "AGEX_NOTF_001")


async def test_an_agent_that_the_tenant_lacks_is_not_there(globex: Client) -> None:
    answer = await globex.ask(
        "POST", "agent_execution", "/api/v1/agents/calculator/execute", {"payload": {"query": "1"}}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "AGEX_NOTF_002")


async def test_calculator_has_a_tool_work_it_out(client: Client) -> None:
    asked = await client.execute("calculator", "What is 12 * (3 + 4)?", "t1")
    assert actions(asked) == ["tool_request"]
    request = asked[-1]["payload"]
    assert (request["tool_id"], request["parameters"]) == ("calculator", {"expression": "12 * (3 + 4)"})
    outcome = await client.post("tool_registry", "/api/v1/tools/execute", request)
    answer = response(await client.tool_result("t1", request["tool_call_id"], **_of(outcome)))
    assert answer["response"] == "12 * (3 + 4) = 84"
    assert [call["tool_id"] for call in answer["tool_calls"]] == ["calculator"]


def _of(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name in {"status", "result", "error_message"}}


async def test_calculator_says_what_the_tool_could_not_do(client: Client) -> None:
    asked = await client.execute("calculator", "1 / 0", "t1")
    call = asked[-1]["payload"]["tool_call_id"]
    messages = await client.tool_result("t1", call, status="error", error_message="a division by zero has no value.")
    assert said(messages) == "I can't work out 1 / 0: a division by zero has no value."


async def test_calculator_asks_for_something_to_work_out(client: Client) -> None:
    assert "Give me something" in said(await client.execute("calculator", "Hello"))


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is 2 + 2?", "2 + 2"),
        ("sqrt(16) * 2, please", "sqrt(16) * 2"),
        ("the 3rd of 10/4", "10/4"),
        ("nothing to see, really", None),
        ("7", "7"),
    ],
)
def test_an_expression_is_found_in_a_sentence(text: str, expression: str | None) -> None:
    assert find_expression(text) == expression


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        ({"status": "success", "result": {"confirmed": True}}, "Confirmed: sell it"),
        ({"status": "success", "result": "yes"}, "Confirmed: sell it"),
        ({"status": "success", "result": True}, "Confirmed: sell it"),
        ({"status": "success", "result": {"confirmed": False}}, "Declined, so nothing was done: sell it"),
        ({"status": "success"}, "Declined, so nothing was done: sell it"),
        (
            {"status": "error", "error_message": "The client did not answer in time."},
            "Timed out: it was not confirmed in time, so nothing was done: sell it",
        ),
        ({"status": "error", "error_message": "No screen."}, "Not confirmed (No screen), so nothing was done: sell it"),
    ],
)
async def test_confirm_asks_first(client: Client, outcome: dict[str, Any], answer: str) -> None:
    asked = (await client.execute("confirm", "sell it", "t1"))[-1]["payload"]
    assert (asked["tool_id"], asked["parameters"]) == ("confirm_action", {"action": "sell it"})
    assert response(await client.tool_result("t1", asked["tool_call_id"], **outcome))["response"] == answer


async def test_a_repeated_execution_asks_under_the_same_id(client: Client) -> None:
    first = (await client.execute("confirm", "sell it", "t1"))[-1]["payload"]
    assert (await client.execute("confirm", "sell it", "t1"))[-1]["payload"] == first
    assert (await client.execute("confirm", "sell it", "t2"))[-1]["payload"] != first


async def test_a_repeated_tool_result_gets_the_same_continuation(client: Client) -> None:
    call = (await client.execute("confirm", "sell it", "t1"))[-1]["payload"]["tool_call_id"]
    first = await client.tool_result("t1", call, status="success", result=True)
    assert await client.tool_result("t1", call, status="success", result=True) == first


@pytest.mark.parametrize(
    ("task_id", "call", "status", "code"),
    [("t9", "x", 404, "AGEX_NOTF_001"), ("t1", "x", 409, "AGEX_CONF_001")],
)
async def test_an_unexpected_tool_result_is_refused(
    client: Client, task_id: str, call: str, status: int, code: str
) -> None:
    await client.execute("confirm", "sell it", "t1")
    body = {"payload": {"tool_call_id": call, "status": "success"}}
    answer = await client.ask("POST", "agent_execution", f"/api/v1/tasks/{task_id}/tool_result", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_cancelled_stream_ends_with_an_error(client: Client) -> None:
    body = {"task_id": "t1", "payload": {"query": "echo 1000 words every 20 ms", "stream": True}}
    messages = []
    with trio.fail_after(PATIENCE):
        async with client.http.stream(
            "POST", client.urls["agent_execution"] + EXECUTE, json=body, headers={"X-Tenant-ID": "acme"}
        ) as answer:
            async for line in answer.aiter_lines():
                messages.append(orjson.loads(line))
                if len(messages) == 2:
                    cancelled = await client.post("agent_execution", "/api/v1/tasks/t1/cancel", {})
                    assert cancelled == {"task_id": "t1", "status": "cancelled", "cancelled": True}
    assert messages[-1]["type"]["action"] == "error"
    assert messages[-1]["payload"]["code"] == "AGEX_CANCELLED"
    assert (await client.post("agent_execution", "/api/v1/tasks/t1/cancel", {}))["cancelled"] is False


async def test_an_execution_that_waits_for_a_tool_can_be_cancelled(client: Client) -> None:
    call = (await client.execute("confirm", "sell it", "t1"))[-1]["payload"]["tool_call_id"]
    assert (await client.post("agent_execution", "/api/v1/tasks/t1/cancel", {}))["cancelled"] is True
    body = {"payload": {"tool_call_id": call, "status": "success"}}
    answer = await client.ask("POST", "agent_execution", "/api/v1/tasks/t1/tool_result", body)
    assert answer.status_code == 409


async def status_of(client: Client, task_id: str) -> str:
    status: str = (await client.get("agent_execution", f"/api/v1/tasks/{task_id}"))["status"]
    return status


async def test_the_work_stops_when_the_client_goes(client: Client) -> None:
    body = {"task_id": "t1", "payload": {"query": "echo 1000 words every 20 ms", "stream": True}}
    url = client.urls["agent_execution"] + EXECUTE
    async with (
        client.http.stream("POST", url, json=body, headers={"X-Tenant-ID": "acme"}) as answer,
        streamed_lines(answer) as words,
    ):
        await anext(words)
    await eventually("the work is abandoned", lambda: status_of(client, "t1"), lambda status: status == "abandoned")


async def test_delegated_work_is_reported(client: Client, orchestrator: FakeOrchestrator) -> None:
    accepted = await client.post("agent_execution", EXECUTE, {"query": "Hello", "delegate": True}, task_id="t1")
    assert accepted == {"task_id": "t1", "status": "accepted"}
    told = await orchestrator.wait_for("task.complete/t1")
    assert told.body["result"]["response"] == "Hello"
    assert [told.route for told in orchestrator.told] == ["task.progress/t1", "task.complete/t1"]


async def test_a_report_is_repeated_until_it_is_taken(client: Client, orchestrator: FakeOrchestrator) -> None:
    orchestrator.refusals["task.complete/t1"] = 1
    await client.post("agent_execution", EXECUTE, {"query": "Hello", "delegate": True}, task_id="t1")
    await orchestrator.wait_for("task.complete/t1")


async def test_docs_guide_answers_from_the_documentation_through_the_gateway(
    client: Client, orchestrator: FakeOrchestrator
) -> None:
    messages = await client.execute("docs-guide", "How do I drain a tenant?", correlation_id="corr-1")
    assert actions(messages) == ["status", "token", "response"]
    answer = response(messages)
    assert "nooble-orch tenants drain TENANT" in answer["response"]
    best = answer["sources"][0]
    assert (best["title"], best["path"], best["heading"]) == ("Tenants", "docs/tenants.md", "Drain a tenant")
    assert best["score"] > 0.2
    assert best["excerpt"].startswith("Run `nooble-orch tenants drain TENANT`.")
    assert answer["completion_tokens"] > 0
    assert [told.route for told in orchestrator.told] == ["embedding.create", "query.generate"]
    for told in orchestrator.told:
        assert told.headers["x-api-key"] == "internal-key"
        assert told.headers["x-tenant-id"] == "acme"


async def test_docs_guide_says_when_it_knows_nothing(client: Client, orchestrator: FakeOrchestrator) -> None:
    answer = response(await client.execute("docs-guide", "Who won the chess championship?"))
    assert answer["response"].startswith("The documentation says nothing about that.")
    assert answer["sources"] == []


@pytest.mark.parametrize("route", ["embedding.create", "query.generate"])
async def test_docs_guide_tells_of_a_gateway_that_refuses(
    client: Client, orchestrator: FakeOrchestrator, route: str
) -> None:
    orchestrator.refusals[route] = 1
    last = (await client.execute("docs-guide", "How do I drain a tenant?"))[-1]
    assert last["type"]["action"] == "error"
    assert last["payload"]["message"] == f"{route} was refused with 503: ORCH_SYS_002 Redis is away."
    assert last["payload"]["retryable"] is True


async def test_docs_guide_tells_when_there_is_no_orchestrator(client: Client) -> None:
    last = (await client.execute("docs-guide", "How do I drain a tenant?"))[-1]
    assert last["payload"]["message"] == "The sandbox knows no orchestrator to ask."


async def test_llm_says_that_no_model_is_configured(client: Client) -> None:
    last = (await client.execute("llm", "Hello"))[-1]
    assert (last["type"]["action"], last["payload"]["code"]) == ("error", "AGEX_LLM_001")
    whole = await client.ask("POST", "agent_execution", "/api/v1/agents/llm/execute", {"payload": {"query": "x"}})
    assert (whole.status_code, whole.json()["error"]["code"]) == (422, "AGEX_LLM_001")


class FakeModel:
    """An OpenAI-compatible server that answers `Hello from {model}`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.breaks_off = False

    async def handle(self, request: Request) -> Stream:
        assert request.segments == ("v1", "chat", "completions")
        assert request.headers["authorization"] == "Bearer sk-test"
        self.asked.append(orjson.loads(request.body))

        async def run(writer: Writer) -> None:
            for word in ("Hello ", "from ", "model"):
                chunk = {"choices": [{"delta": {"content": word}}]}
                await writer.send(b"data: " + orjson.dumps(chunk) + b"\n\n")
            if self.breaks_off:
                return
            usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}
            await writer.send(b"data: " + orjson.dumps(usage) + b"\n\ndata: [DONE]\n\n")

        return Stream(run, "text/event-stream")


@pytest.fixture
def model_port(monkeypatch: pytest.MonkeyPatch, _without_model: None) -> int:
    """Where sandboxes look for a model: named before any of them is started."""
    port = free_port()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_MODEL", "tiny")
    return port


@pytest.fixture
async def model(model_port: int, nursery: trio.Nursery) -> FakeModel:
    """A model that the sandbox uses."""
    fake = FakeModel()
    nursery.start_soon((await listen(model_port)).serve, fake.handle)
    return fake


async def test_llm_streams_what_the_model_says(
    model: FakeModel, client: Client, orchestrator: FakeOrchestrator
) -> None:
    context = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    messages = await client.execute("llm", "Who are you?", context=context, agent_config={"system_prompt": "Be brief."})
    answer = response(messages)
    assert answer["response"] == said(messages) == "Hello from model"
    assert (answer["prompt_tokens"], answer["completion_tokens"], answer["total_tokens"]) == (11, 3, 14)
    assert [told.route for told in orchestrator.told] == ["query.generate"]
    assert model.asked[0]["model"] == "tiny"
    assert [message["content"] for message in model.asked[0]["messages"]] == [
        "Be brief.",
        "Hi",
        "Hello",
        "Who are you?",
    ]


async def test_docs_guide_gives_the_model_the_passages(
    model: FakeModel, client: Client, orchestrator: FakeOrchestrator
) -> None:
    answer = response(await client.execute("docs-guide", "How do I drain a tenant?"))
    assert answer["response"] == "Hello from model"
    assert answer["sources"][0]["heading"] == "Drain a tenant"
    assert "nooble-orch tenants drain TENANT" in model.asked[0]["messages"][0]["content"]


async def test_a_model_that_breaks_off_is_an_error(
    model: FakeModel, client: Client, orchestrator: FakeOrchestrator
) -> None:
    model.breaks_off = True
    last = (await client.execute("llm", "Who are you?"))[-1]
    assert last["type"]["action"] == "error"
    assert last["payload"]["message"] == "The model's server broke off."


async def test_health_is_open_and_names_the_service(sandbox: Sandbox) -> None:
    async with loopback_client() as http:
        for name, url in sandbox.urls.items():
            answer = await http.get(f"{url}/health")
            assert answer.json() == {"status": "healthy", "service": name}
