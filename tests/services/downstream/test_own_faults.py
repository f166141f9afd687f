"""The faults of one tenant's agent, in turns: how often it is run, and that no other turn feels it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from orchestrator.clients.opening import open_clients
from orchestrator.errors import OrchestratorError
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.plans.attempt import Partial
from tests.services.platform import Leg, Platform, runner, says
from tests.support.calls import FakeAttempt, a_busy_session, a_message, services_at
from tests.support.scripted_server import Asked, begin_stream, reply, response, send_lines, serve, token, tool_request

TURNS = 20
Answer = Callable[[Asked, trio.SocketStream], Awaitable[None]]


def refusing(status: int, body: Any = None) -> Leg:
    async def leg(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, body if body is not None else {"error": {"code": "AGEX_1"}}, status)

    return leg


async def endless(_: Asked, stream: trio.SocketStream) -> None:
    await begin_stream(stream)
    while True:
        await send_lines(stream, b"x" * 100_000)


OWN_FAULTS: dict[str, Leg] = {
    "an unknown type alone": says({"type": "agent.surprise", "payload": {}}),
    "an unknown content type alone": says(token("la", "song")),
    "a missing field": says({"type": "agent.token", "payload": {}}),
    "a wrong type": says({"type": "agent.token", "payload": {"token": 5}}),
    "a wrong content type": says({"type": "agent.token", "payload": {"token": "x", "content_type": 5}}),
    "garbage after a good start": says(token("Good"), b"<html>\n"),
    "garbage from the start": refusing(200, b"<html>"),
    "no object": says(b"[1]\n"),
    "a bare number": says(b"5\n"),
    "an empty answer": says(),
    "no last message": says(token("Half")),
    "words after the last": says(response("x"), token("more")),
    "a line without end": endless,
    "an error of its own": says({"type": "agent.error", "error": {"code": "AGEX_2", "retryable": True}}),
    "an error in an answer": says({"type": "agent.response", "error": {"code": "AGEX_3", "retryable": True}}),
    "a tool request without its tool": says(tool_request("t1", "x") | {"payload": {}}),
    "a refusal": refusing(400),
    "an unprocessable call": refusing(422),
    "an agent that is not there": refusing(404),
    "another 2xx": refusing(204, b""),
    "nested too deeply": says(b"[" * 100_000 + b"\n"),
    "half characters nested too deeply": says(
        b'{"type": "agent.status", "x": ' + b"[" * 5000 + b'"\\ud83d"' + b"]" * 5000 + b"}\n"
    ),
    "a number without bound": says(
        b'{"type": "agent.response", "payload": {"response": "\\ud83d", "total_tokens": ' + b"9" * 5000 + b"}}\n"
    ),
}
"""What an agent may get wrong."""


@define
class TwoAgents:
    """A platform on which the agent `buggy` answers in its own way, and every other well."""

    buggy: Leg
    platform: Platform = field(factory=Platform)
    executions: int = 0

    async def __call__(self, asked: Asked, stream: trio.SocketStream) -> None:
        if asked.path.endswith("/agents/buggy/execute"):
            self.executions += 1
            await self.buggy(asked, stream)
        else:
            await self.platform(asked, stream)


def attempt(tenant_id: str, agent_id: str) -> FakeAttempt:
    session = evolve(a_busy_session(agent_id), tenant_id=tenant_id)
    return FakeAttempt(evolve(a_message(), tenant_id=tenant_id), session)


async def fail(turns: ChatTurnRunner, tenant_id: str = "acme") -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        await turns.run(attempt(tenant_id, "buggy"), Partial())
    return caught.value


async def goes_well(turns: ChatTurnRunner, tenant_id: str, agent_id: str = "echo") -> None:
    run = attempt(tenant_id, agent_id)
    await turns.run(run, Partial())
    assert run.streamed == "Hello Ana"


@pytest.mark.parametrize("leg", [pytest.param(leg, id=name) for name, leg in OWN_FAULTS.items()])
async def test_an_agents_own_fault_is_one_execution_an_attempt_and_no_outage(leg: Leg) -> None:
    agents = TwoAgents(leg)
    async with serve(agents) as url, open_clients(services_at(url, timeout=5)) as clients:
        turns = runner(clients)
        for _ in range(TURNS):
            assert (await fail(turns)).code in {"ORCH_CONN_002", "ORCH_NOTF_001"}
        assert agents.executions == TURNS
        await goes_well(turns, "acme")
        await goes_well(turns, "globex")
        assert turns.coordinator.breakers() == {}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_agent_that_always_answers_5xx_is_left_alone_itself_and_retried_within_a_budget(status: int) -> None:
    agents = TwoAgents(refusing(status))
    async with serve(agents) as url, open_clients(services_at(url, timeout=5)) as clients:
        turns = runner(clients)
        codes = [(await fail(turns)).code for _ in range(TURNS)]
        assert codes[0] == "ORCH_CONN_002"
        assert codes[-1] == "ORCH_CONN_003"
        assert agents.executions <= TURNS * 1.2 + 6
        await goes_well(turns, "acme")
        await goes_well(turns, "globex")
        assert turns.coordinator.breakers() == {}


async def test_an_agent_that_drops_its_connections_is_left_alone_itself() -> None:
    async def dropping(_: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    agents = TwoAgents(dropping)
    async with serve(agents) as url, open_clients(services_at(url, timeout=5)) as clients:
        turns = runner(clients)
        for _ in range(TURNS):
            await fail(turns)
        await goes_well(turns, "globex")
        assert turns.coordinator.breakers() == {}
