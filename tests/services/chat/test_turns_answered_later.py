"""Turns whose agent, or whose tool, answers later: put aside, and ended with what was told."""

from typing import Any

import orjson
import pytest
import trio
from attrs import evolve

from orchestrator.codec import encode
from orchestrator.errors import BadGateway, CallTimeout, InvalidAnswer, ServiceRefused
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.chat.turn_tools import DELEGATED_MS
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnWaiting
from tests.services.platform import Platform, says, turns_on
from tests.support.calls import FakeAttempt, a_message
from tests.support.scripted_server import Asked, reply, response, token, tool_request

EXECUTING = "execute.0"
WAITING = TurnWaiting((Wait(EXECUTING, WaitKind.DELEGATED, DELEGATED_MS),))
ANSWER = {"response": "At last.", "sources": [], "tool_calls": [], "prompt_tokens": 3, "completion_tokens": 4}


async def later(_: Asked, stream: trio.SocketStream) -> None:
    await reply(stream, {"payload": {"task_id": "x9", "status": "accepted"}}, 202)


def answered(call_id: str, result: Any) -> dict[str, Any]:
    return {f"answer:{call_id}": {"status": "completed", "result": result}}


def failed(call_id: str, kind: type[BadGateway | CallTimeout | ServiceRefused]) -> dict[str, Any]:
    body = kind("It failed.", service="agent_execution").body()
    error = {"code": body.code, "type": body.type, "message": body.message, "retryable": body.retryable,
             "service": body.service, "details": []}  # fmt: skip
    return {f"answer:{call_id}": {"status": "failed", "error": error}}


async def done(turns: ChatTurnRunner, run: FakeAttempt) -> TurnDone:
    outcome = await turns.run(run, Partial())
    assert isinstance(outcome, TurnDone)
    return outcome


async def test_a_turn_waits_for_an_agent_that_answers_later_and_streams_its_answer_whole() -> None:
    platform, run = Platform(legs=[later]), FakeAttempt()
    async with turns_on(platform) as turns:
        assert await turns.run(run, Partial()) == WAITING
        metadata = platform.calls("/execute")[0].body["metadata"]
        assert (metadata["task_id"], metadata["callback_token"]) == ("task-1", run.delegations.registered[EXECUTING])
        assert run.delegations.taken == {EXECUTING: "x9"}
        resumed = run.next_attempt(**answered(EXECUTING, ANSWER))
        outcome = await done(turns, resumed)
    assert outcome.answer.content == resumed.streamed == "At last."
    assert outcome.answer.usage.total_tokens == 7
    [piece] = resumed.named("chat.stream")
    assert piece["is_final"]
    assert len(platform.calls("/execute")) == 1
    assert len(platform.stored) == 2


async def test_a_worker_lost_before_the_turn_was_put_aside_asks_the_agent_no_second_time() -> None:
    platform, run = Platform(legs=[later]), FakeAttempt()
    async with turns_on(platform) as turns:
        await turns.run(run, Partial())
        run.kept.clear()
        again = run.next_attempt()
        assert await turns.run(again, Partial()) == WAITING
        resumed = again.next_attempt(**answered(EXECUTING, ANSWER))
        assert (await done(turns, resumed)).answer.content == "At last."
    assert len(platform.calls("/execute")) == 1


@pytest.mark.parametrize("kind", [ServiceRefused, CallTimeout])
async def test_an_agent_that_fails_later_fails_the_turn_as_one_that_fails_at_once(
    kind: type[ServiceRefused | CallTimeout],
) -> None:
    run = FakeAttempt()
    async with turns_on(Platform(legs=[later])) as turns:
        await turns.run(run, Partial())
        with pytest.raises(kind, match="It failed"):
            await turns.run(run.next_attempt(**failed(EXECUTING, kind)), Partial())


async def test_a_turn_that_starts_over_after_such_a_failure_asks_anew() -> None:
    platform, run = Platform(legs=[later, says(token("Now."), response("Now."))]), FakeAttempt()
    async with turns_on(platform) as turns:
        await turns.run(run, Partial())
        resumed = run.next_attempt(**failed(EXECUTING, BadGateway))
        with pytest.raises(BadGateway):
            await turns.run(resumed, Partial())
        message = a_message()
        over = resumed.next_attempt()
        over.message = evolve(message, metadata=evolve(message.metadata, retry_count=1))
        assert (await done(turns, over)).answer.content == "Now."
    assert over.streamed == "Now."
    assert len(platform.calls("/execute")) == 2


async def test_a_malformed_later_answer_is_a_fault_of_the_service() -> None:
    run = FakeAttempt()
    async with turns_on(Platform(legs=[later])) as turns:
        await turns.run(run, Partial())
        for nonsense in ({"text": "Hello"}, "Hello", None):
            with pytest.raises(InvalidAnswer):
                await turns.run(run.next_attempt(**answered(EXECUTING, nonsense)), Partial())


def reporting() -> Platform:
    return Platform(
        tools=[{"tool_id": "report", "kind": "async"}],
        legs=[
            says(token("Wait. "), tool_request("t1", "report", topic="tides")),
            says(token("Done."), response("Wait. Done.")),
        ],
    )


@pytest.mark.parametrize(
    ("answer", "status", "data"),
    [
        (answered("t1", {"status": "success", "result": {"report": "Calm."}}), "success", {"report": "Calm."}),
        (answered("t1", "Calm."), "success", "Calm."),
        (answered("t1", {"status": "error", "error_message": "No paper."}), "error", None),
        (failed("t1", CallTimeout), "error", None),
    ],
)
async def test_a_tool_that_answers_later_is_waited_for_and_handed_over(
    answer: dict[str, Any], status: str, data: Any
) -> None:
    platform, run = reporting(), FakeAttempt()
    async with turns_on(platform) as turns:
        waiting = await turns.run(run, Partial())
        assert waiting == TurnWaiting((Wait("t1", WaitKind.DELEGATED, DELEGATED_MS),))
        asked = platform.calls("/async-execute")[0].body
        assert asked["payload"] == {"tool_id": "report", "parameters": {"topic": "tides"}, "task_id": "task-1"}
        assert asked["metadata"]["callback_token"] == run.delegations.registered["t1"]
        resumed = run.next_attempt(**answer)
        resumed.events = list(run.events)
        assert (await done(turns, resumed)).answer.content == "Wait. Done."
    assert resumed.streamed == "Wait. Done."
    handed = platform.calls("/tool_result")[0].body["payload"]
    assert (handed["status"], handed["result"]) == (status, data)
    [shown] = resumed.named("tool.result")
    assert (shown["result"]["status"], shown["result"]["data"]) == (status, data)
    assert len(platform.calls("/async-execute")) == 1


async def test_an_agent_is_told_of_a_tool_that_could_not_be_started() -> None:
    platform = reporting()
    platform.started = None
    async with turns_on(platform) as turns:
        assert (await done(turns, FakeAttempt())).answer.content == "Wait. Done."
    handed = platform.calls("/tool_result")[0].body["payload"]
    assert (handed["status"], handed["error_message"]) == ("error", "There is no tool 'report'. NONE")


async def test_a_turn_that_the_version_before_has_put_aside_goes_on_here() -> None:
    platform = reporting()
    platform.legs.pop(0)
    kept = {
        "wait": {"call_id": "t1", "kind": "delegated", "timeout_ms": 600_000, "request": None},
        "execution_id": "x7",
        "rounds": 1,
        "async_tools": ["report"],
        "text": "Wait. ",
        "sequence": 1,
        "answer_id": "a7",
        "conversation_id": "s1",
        "question_stored": True,
        "degraded": ["tool_registry"],
        "of_a_later_version": 1,
    }
    run = FakeAttempt(attempt=2, checkpoints={"streamed": kept, **answered("t1", "Calm.")})
    platform.conversations.add("s1")
    async with turns_on(platform) as turns:
        outcome = await done(turns, run)
    assert (outcome.answer.message_id, outcome.answer.content) == ("a7", "Wait. Done.")
    assert outcome.answer.degraded == ["tool_registry"]
    assert run.named("chat.stream")[0]["sequence_number"] == 2
    assert run.named("chat.stream_reset") == []
    assert [asked.path for asked in platform.calls("/tool_result")] == ["/api/v1/tasks/x7/tool_result"]
    assert [said["role"] for said in platform.stored.values()] == ["assistant"]


async def test_what_is_kept_of_a_turn_that_waits_is_what_the_version_before_reads() -> None:
    platform, run = reporting(), FakeAttempt()
    async with turns_on(platform) as turns:
        await turns.run(run, Partial())
    kept = orjson.loads(encode(run.kept["streamed"]))
    execution_id = platform.calls("/execute")[0].body["payload"]["task_id"]
    assert kept == {
        "wait": {"call_id": "t1", "kind": "delegated", "timeout_ms": DELEGATED_MS, "request": None},
        "execution_id": execution_id,
        "rounds": 1,
        "async_tools": ["report"],
        "text": "Wait. ",
        "sequence": 1,
        "answer_id": kept["answer_id"],
        "conversation_id": "s1",
        "question_stored": True,
        "degraded": [],
        "names": {},
    }
