"""The calls of plans, made of services that answer as they are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from orchestrator.clients.opening import open_clients
from orchestrator.errors import (
    CallTimeout,
    InvalidBody,
    NotFound,
    ServiceFault,
    ServiceRefused,
    ServiceUnreachable,
    Unprocessable,
)
from orchestrator.models.plans.orchestration import HIGH, ONCE, ServiceCall
from orchestrator.services.agents.agent_question import AgentQuestionRunner
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.services.plans.call_executor import PlanDone, PlannedCall, PlanWaiting
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.workflows.plan_calls import PlanCalls
from tests.services.gateway.rig import gateway_at
from tests.services.plans.planned import FakePlanAttempt, a_plan
from tests.services.platform import Platform, says
from tests.support.calls import call_context, services_at
from tests.support.scripted_server import Asked, Handler, reply, response, serve, tool_request

DONE = {"status": "completed", "result": {"sum": 3}}


@asynccontextmanager
async def calls_of(redis_url: str, handler: Handler) -> AsyncIterator[PlanCalls]:
    async with (
        serve(handler) as url,
        open_clients(services_at(url, timeout=2)) as clients,
        gateway_at(redis_url, url) as gateway,
    ):
        coordinator = ServiceCoordinator()
        agents = AgentQuestionRunner(clients, coordinator, AgentCatalog(clients, coordinator))
        yield PlanCalls(clients, coordinator, gateway.gateway, agents)


def planned(service: str, operation: str, run: FakePlanAttempt | None = None, **parameters: Any) -> PlannedCall:
    step = evolve(ServiceCall(service, operation, ONCE), parameters=parameters)
    return PlannedCall("it", step, call_context(key="task-1:it:1"), run or FakePlanAttempt())


@define
class Scripted:
    """Answers every request with the same body."""

    body: Any
    status: int = 200
    seen: list[Asked] = field(factory=list)

    async def __call__(self, asked: Asked, stream: trio.SocketStream) -> None:
        self.seen.append(asked)
        await reply(stream, self.body, self.status)


async def test_any_operation_is_one_request_with_its_parameters_where_they_belong(redis_url: str) -> None:
    service = Scripted({"payload": {"messages": [], "has_more": False}})
    async with calls_of(redis_url, service) as calls:
        result = await calls.perform(planned("conversation", "messages", conversation_id="c/1", limit=5))
    assert result == {"messages": [], "has_more": False}
    (asked,) = service.seen
    assert (asked.method, asked.target) == ("GET", "/api/v1/conversations/c%2F1/messages?offset=0&limit=5")
    assert asked.headers["idempotency-key"] == "task-1:it:1"
    assert asked.headers["x-tenant-id"] == "acme"


async def test_a_message_says_for_whom_it_is(redis_url: str) -> None:
    service = Scripted({"payload": {}})
    async with calls_of(redis_url, service) as calls:
        await calls.perform(planned("agent_management", "feedback", agent_id="echo", rating=5))
    assert service.seen[0].body["payload"] == {"rating": 5}
    assert service.seen[0].body["metadata"].items() >= {"user_id": "ana", "session_id": "s1"}.items()
    assert service.seen[0].path == "/api/v1/agents/acme/echo/feedback"


async def test_an_error_in_an_answer_is_the_calls_error(redis_url: str) -> None:
    async with calls_of(redis_url, Scripted({"error": {"code": "CONV_1", "message": "No."}})) as calls:
        with pytest.raises(ServiceRefused):
            await calls.perform(planned("conversation", "messages", conversation_id="c"))


@pytest.mark.parametrize("value", [{"a": 1}, ["a"]])
async def test_what_stands_in_a_path_or_a_query_must_be_one_value(redis_url: str, value: Any) -> None:
    async with calls_of(redis_url, Scripted({"payload": {}})) as calls:
        with pytest.raises(Unprocessable, match="'tool_id' must be one value"):
            await calls.perform(planned("tool_registry", "get", tool_id=value))
        with pytest.raises(Unprocessable, match="'parameters' must be an object"):
            await calls.perform(planned("tool_registry", "execute", tool_id="x", parameters=[value]))


async def test_a_call_that_must_not_be_repeated_is_tried_once(redis_url: str) -> None:
    service = Scripted({"error": {}}, 503)
    call = planned("tool_registry", "execute", tool_id="x", parameters={})
    async with calls_of(redis_url, service) as calls:
        with pytest.raises(ServiceFault):
            await calls.perform(evolve(call, step=evolve(call.step, retry_policy=HIGH, idempotent=False)))
    assert len(service.seen) == 1


async def test_a_tool_gives_its_result_or_fails_its_call(redis_url: str) -> None:
    call = planned("tool_registry", "execute", tool_id="calculator", parameters={"expression": "1+1"})
    async with calls_of(redis_url, Scripted({"payload": {"status": "success", "result": 2}})) as calls:
        assert await calls.perform(call) == {"status": "success", "result": 2}
    failing = Scripted({"payload": {"status": "error", "error_message": "divided by zero"}})
    async with calls_of(redis_url, failing) as calls:
        with pytest.raises(ServiceRefused, match="divided by zero"):
            await calls.perform(call)


async def test_query_and_embedding_are_asked_through_the_gateway(redis_url: str) -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    answer = {"data": {"response": "42"}, "metadata": {"model": "m", "token_usage": usage}}
    service = Scripted({"success": True, **answer, "embeddings": [[1.0]], "model": "m", "total_tokens": 1})
    async with calls_of(redis_url, service) as calls:
        generated = await calls.perform(planned("query", "generate", query="What?"))
        searched = await calls.perform(planned("query", "search", query="What?"))
        embedded = await calls.perform(planned("embedding", "create", texts=["a"]))
        spent = await calls.gateway.ledger.redis.keys("orchestrator:usage:acme:*")
    assert generated["data"]["response"] == searched["data"]["response"] == "42"
    assert embedded["embeddings"] == [[1.0]]
    assert spent
    assert {asked.body["tenant_id"] for asked in service.seen} == {"acme"}


async def test_a_call_through_the_gateway_keeps_to_its_time(redis_url: str) -> None:
    async def hang(_: Asked, __: trio.SocketStream) -> None:
        await trio.sleep_forever()

    call = planned("query", "generate", query="What?")
    async with calls_of(redis_url, hang) as calls:
        with pytest.raises(CallTimeout, match=r"query\.generate did not end in time"):
            await calls.perform(evolve(call, step=evolve(call.step, timeout_ms=100)))


async def test_an_accepted_call_is_waited_for_and_its_answer_is_the_result(redis_url: str) -> None:
    service = Scripted({"payload": {"execution_id": "e-1"}}, 202)
    run = FakePlanAttempt()
    call = planned("workflow_engine", "execute", run, workflow_id="triage", input={"a": 1})
    plan = a_plan(it=evolve(call.step, parameters={"workflow_id": "triage", "input": {"a": 1}}))
    async with calls_of(redis_url, service) as calls:
        outcome = await PlanRunner(calls).run(plan, {}, run)
        assert isinstance(outcome, PlanWaiting)
        assert [wait.call_id for wait in outcome.waits] == ["it"]
        assert service.seen[0].body["payload"] == {
            "workflow_id": "triage",
            "input": {"a": 1},
            "task_id": "task-1",
            "execution_id": "task-1",
            "execution_options": {"wait_for_completion": False},
        }
        assert service.seen[0].body["metadata"]["callback_token"] == "token-0"
        assert run.delegations.taken == {"it": "e-1"}
        # The worker is lost before what it waits for is kept: the work is not handed on again.
        with pytest.raises(CallWaits):
            await calls.perform(call)
        assert len(service.seen) == 1
        done = run.next_attempt(it={"status": "completed", "result": {"sum": 3}})
        outcome = await PlanRunner(calls).run(plan, {}, done)
        assert isinstance(outcome, PlanDone)
        assert outcome.results == {"it": {"sum": 3}}
        failed = run.next_attempt(
            it={"status": "failed", "error": {"code": "ORCH_CONN_002", "type": "bad_gateway", "message": "No luck."}}
        )
        with pytest.raises(ServiceFault, match=r"No luck\."):
            await PlanRunner(calls).run(plan, {}, failed)


async def test_work_that_failed_is_handed_on_anew_when_the_plan_starts_over(redis_url: str) -> None:
    service, run = Scripted({"payload": {"execution_id": "e-1"}}, 202), FakePlanAttempt()
    plan = a_plan(it=planned("workflow_engine", "execute", workflow_id="triage", input={}).step)
    error = {"code": "ORCH_CONN_002", "type": "bad_gateway", "message": "No luck."}
    async with calls_of(redis_url, service) as calls:
        await PlanRunner(calls).run(plan, {}, run)
        again = run.next_attempt(it={"status": "failed", "error": error})
        again.message = evolve(again.message, metadata=evolve(again.message.metadata, retry_count=1))
        outcome = await PlanRunner(calls).run(plan, {}, again)
        assert isinstance(outcome, PlanWaiting)
        assert [wait.call_id for wait in outcome.waits] == ["it.1"]
        assert [asked.headers["idempotency-key"] for asked in service.seen] == ["task-1:it:1", "task-1:it:1:1"]
        done = again.next_attempt(**{"it.1": {"status": "completed", "result": {"sum": 3}}})
        done.message = again.message
        assert isinstance(await PlanRunner(calls).run(plan, {}, done), PlanDone)


async def test_work_that_was_done_is_not_handed_on_again_because_another_call_failed(redis_url: str) -> None:
    service, run = Scripted({"payload": {"execution_id": "e-1"}}, 202), FakePlanAttempt()
    plan = a_plan(it=planned("workflow_engine", "execute", workflow_id="triage", input={}).step)
    async with calls_of(redis_url, service) as calls:
        await PlanRunner(calls).run(plan, {}, run)
        done = run.next_attempt(it=DONE)
        done.message = evolve(done.message, metadata=evolve(done.message.metadata, retry_count=1))
        assert isinstance(await PlanRunner(calls).run(plan, {}, done), PlanDone)
    assert len(service.seen) == 1


async def test_a_service_may_answer_at_once_what_it_might_answer_later(redis_url: str) -> None:
    service = Scripted({"payload": {"status": "success", "result": 7}})
    async with calls_of(redis_url, service) as calls:
        result = await calls.perform(planned("tool_registry", "async_execute", tool_id="report", parameters={}))
    assert result == {"status": "success", "result": 7}


async def test_an_agent_answers_with_the_tools_that_it_asks_for(redis_url: str) -> None:
    platform = Platform([says(tool_request("t1", "calculator", expression="6*7")), says(response("It is 42"))])
    run = FakePlanAttempt()
    async with calls_of(redis_url, platform) as calls:
        result = await calls.perform(planned("agent_execution", "execute", run, agent_id="echo", query="6*7?"))
    assert result["response"] == "It is 42"
    assert result["usage"]["total_tokens"] == 7
    assert result["sources"] == [{"title": "A"}]
    asked = platform.calls("/agents/echo/execute")[0].body["payload"]
    assert asked["query"] == "6*7?"
    assert asked["tools"] == [{"tool_id": "calculator"}]
    assert asked["agent_config"]["version"] == "3"
    assert run.kept["it.agent_version"]["version"] == "3"


async def test_an_agent_is_told_that_a_clients_tool_can_t_be_run_in_a_plan(redis_url: str) -> None:
    platform = Platform([says(tool_request("t1", "confirm")), says(response("Then not"))], client_tools=["confirm"])
    async with calls_of(redis_url, platform) as calls:
        result = await calls.perform(planned("agent_execution", "execute", agent_id="echo", query="Do it"))
    assert result["response"] == "Then not"
    told = platform.calls("/tool_result")[0].body["payload"]
    assert (told["status"], told["error_message"]) == ("error", "there is no client here that could run this tool")


async def test_an_agent_takes_what_the_plan_gives_it(redis_url: str) -> None:
    platform = Platform()
    config = {"agent_id": "echo", "version": "7", "name": "Mine"}
    call = planned(
        "agent_execution",
        "execute",
        agent_id="echo",
        query="Hello",
        agent_config=config,
        context={"messages": [{"role": "user", "content": "before"}]},
        tools=[],
        max_tokens=9,
    )
    async with calls_of(redis_url, platform) as calls:
        await calls.perform(call)
    (asked,) = platform.asked
    payload = asked.body["payload"]
    assert payload["agent_config"]["version"] == "7"
    assert {"type": "conversation_history", "content": [{"role": "user", "content": "before"}]} in payload["context"]
    assert (payload["tools"], payload["max_tokens"]) == ([], 9)


async def test_an_agent_s_parameters_are_checked(redis_url: str) -> None:
    async with calls_of(redis_url, Platform()) as calls:
        with pytest.raises(InvalidBody, match=r"\$\.parameters\.query must be a string"):
            await calls.perform(planned("agent_execution", "execute", agent_id="echo", query=["a"]))
        with pytest.raises(NotFound, match="no agent 'nobody'"):
            await calls.perform(planned("agent_execution", "execute", agent_id="nobody", query="a"))


async def test_an_agent_that_answers_later_is_waited_for(redis_url: str) -> None:
    async def accept(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"payload": {"status": "accepted", "task_id": "e-9"}}, 202)

    platform = Platform([accept])
    run = FakePlanAttempt()
    step = ServiceCall("agent_execution", "execute", ONCE)
    plan = a_plan(ask=evolve(step, parameters={"agent_id": "echo", "query": "Hello"}))
    async with calls_of(redis_url, platform) as calls:
        outcome = await PlanRunner(calls).run(plan, {}, run)
        assert isinstance(outcome, PlanWaiting)
        (wait,) = outcome.waits
        assert wait.call_id.startswith("ask.")
        answer = {"response": "At last", "sources": [], "tool_calls": [], "total_tokens": 2}
        again = run.next_attempt(**{wait.call_id: {"status": "completed", "result": answer}})
        outcome = await PlanRunner(calls).run(plan, {}, again)
    assert isinstance(outcome, PlanDone)
    assert outcome.results["ask"]["response"] == "At last"
    assert len(platform.calls("/execute")) == 1


async def test_an_agent_that_its_plan_no_longer_waits_for_is_cancelled(redis_url: str) -> None:
    platform = Platform()
    begun = trio.Event()

    async def hang(_: Asked, __: trio.SocketStream) -> None:
        begun.set()
        await trio.sleep_forever()

    platform.legs = [hang]
    async with calls_of(redis_url, platform) as calls, trio.open_nursery() as nursery:
        nursery.start_soon(calls.perform, planned("agent_execution", "execute", agent_id="echo", query="Hello"))
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert len(platform.calls("/cancel")) == 1


async def test_a_service_without_an_address_fails_its_call(redis_url: str) -> None:
    async with (
        open_clients(services_at("")) as clients,
        gateway_at(redis_url, "") as gateway,
    ):
        coordinator = ServiceCoordinator()
        agents = AgentQuestionRunner(clients, coordinator, AgentCatalog(clients, coordinator))
        calls = PlanCalls(clients, coordinator, gateway.gateway, agents)
        with pytest.raises(ServiceUnreachable, match="not set up"):
            await calls.perform(planned("tool_registry", "get", tool_id="clock"))


async def test_an_agent_whose_later_answer_was_a_failure_is_asked_anew_when_the_plan_starts_over(
    redis_url: str,
) -> None:
    async def accept(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"payload": {"status": "accepted", "task_id": "e-9"}}, 202)

    platform = Platform([accept, says(response("Now"))])
    run = FakePlanAttempt()
    plan = a_plan(ask=planned("agent_execution", "execute", agent_id="echo", query="Hello").step)
    async with calls_of(redis_url, platform) as calls:
        outcome = await PlanRunner(calls).run(plan, {}, run)
        assert isinstance(outcome, PlanWaiting)
        error = {"code": "ORCH_CONN_002", "type": "bad_gateway", "message": "No luck."}
        failed = run.next_attempt(**{outcome.waits[0].call_id: {"status": "failed", "error": error}})
        with pytest.raises(ServiceFault, match=r"No luck\."):
            await PlanRunner(calls).run(plan, {}, failed)
        again = failed.next_attempt()
        again.message = evolve(again.message, metadata=evolve(again.message.metadata, retry_count=1))
        outcome = await PlanRunner(calls).run(plan, {}, again)
    assert isinstance(outcome, PlanDone)
    assert outcome.results["ask"]["response"] == "Now"
