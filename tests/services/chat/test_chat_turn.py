"""A chat turn against scripted services."""

import json
from typing import Any

import pytest
import trio
from attrs import evolve

from orchestrator.errors import (
    BadGateway,
    FencedOut,
    InvalidAnswer,
    NotFound,
    PlanTimeout,
    ReportedFailure,
    ServiceFault,
    ServiceRefused,
)
from orchestrator.models.sessions.chat import HistoryMessage, Speaker
from orchestrator.models.tasks.task import CancelledBy
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnWaiting
from orchestrator.telemetry.metrics import Metrics
from tests.services.platform import Platform, says, turns_on
from tests.support.calls import FakeAttempt, a_busy_session, a_message
from tests.support.eventually import PATIENCE
from tests.support.scripted_server import (
    Asked,
    begin_stream,
    end_stream,
    reply,
    response,
    send_lines,
    token,
    tool_request,
)


async def done(turns: ChatTurnRunner, run: FakeAttempt) -> TurnDone:
    outcome = await turns.run(run, Partial())
    assert isinstance(outcome, TurnDone)
    return outcome


def checked_numbers(run: FakeAttempt) -> None:
    """Sequence numbers go 1, 2, 3… from each reset on, and only the very last piece is final."""
    expected = 0
    pieces = [(name, data) for name, data in run.events if name.startswith("chat.stream")]
    for place, (name, data) in enumerate(pieces, 1):
        expected = 0 if name == "chat.stream_reset" else expected + 1
        if name == "chat.stream":
            assert data["sequence_number"] == expected
            assert data["is_final"] is (place == len(pieces))


async def test_a_first_turn_begins_the_conversation_and_stores_both_messages() -> None:
    platform, run = Platform(), FakeAttempt()
    async with turns_on(platform) as turns:
        outcome = await done(turns, run)
    assert outcome.conversation_id == "s1"
    assert outcome.agent_version == "3"
    assert outcome.answer.content == "Hello Ana"
    assert outcome.answer.degraded == []
    assert outcome.answer.usage.total_tokens == 7
    assert outcome.answer.sources == [{"title": "A"}]
    assert platform.conversations == {"s1"}
    question, answer = platform.stored.values()
    assert (question["role"], question["content"], question["message_id"]) == ("user", "Hello", "m1")
    assert (answer["role"], answer["content"]) == ("assistant", "Hello Ana")
    assert answer["message_id"] == outcome.answer.message_id
    assert run.events[0][1]["status"] == "processing"
    assert run.streamed == "Hello Ana"
    checked_numbers(run)
    (asked,) = platform.calls("/execute")
    assert asked.body["payload"]["query"] == "Hello"
    assert asked.body["payload"]["agent_config"]["version"] == "3"
    assert asked.body["payload"]["tools"] == [{"tool_id": "calculator"}]
    assert {"type": "session_context", "content": {"language": "en"}} in asked.body["payload"]["context"]


async def test_a_later_turn_recalls_the_conversation_without_its_own_question() -> None:
    platform = Platform(
        context=[{"message_id": "m0", "role": "user"}, {"message_id": "m1", "role": "user"}], conversations={"c7"}
    )
    async with turns_on(platform) as turns:
        outcome = await done(turns, FakeAttempt(session=a_busy_session(conversation_id="c7")))
    assert outcome.conversation_id == "c7"
    context = platform.calls("/execute")[0].body["payload"]["context"]
    told = {item["type"]: item["content"] for item in context}
    assert [said["message_id"] for said in told["conversation_history"]] == ["m0"]
    assert told["conversation_summary"] == "So far"


async def test_agent_and_tools_are_asked_for_once_by_many_turns() -> None:
    platform = Platform()
    async with turns_on(platform) as turns:
        for _ in range(3):
            await done(turns, FakeAttempt())
    assert len(platform.calls("/agents/acme/echo")) == 1
    assert len(platform.calls("/tools")) == 1


async def test_a_lost_conversation_is_begun_again() -> None:
    platform = Platform()
    async with turns_on(platform) as turns:
        outcome = await done(turns, FakeAttempt(session=a_busy_session(conversation_id="lost")))
    assert outcome.conversation_id == "s1"
    assert len(platform.stored) == 2


async def test_without_conversation_and_tools_the_turn_goes_on_from_the_kept_window() -> None:
    platform = Platform(away={"conversation", "tool_registry"})
    window = [HistoryMessage("m0", Speaker.USER, "Earlier", "2026-01-01T00:00:00.000Z")]
    run = FakeAttempt(session=a_busy_session(conversation_id="c7"), window=window)
    async with turns_on(platform) as turns:
        outcome = await done(turns, run)
    assert outcome.answer.content == "Hello Ana"
    assert outcome.answer.degraded == ["conversation", "tool_registry"]
    context = platform.calls("/execute")[0].body["payload"]["context"]
    history = {"type": "conversation_history", "content": [{"message_id": "m0", "role": "user", "content": "Earlier"}]}
    assert history in context


async def test_an_unknown_agent_is_not_found() -> None:
    async with turns_on(Platform()) as turns:
        with pytest.raises(NotFound, match="no agent 'nobody'"):
            await turns.run(FakeAttempt(session=a_busy_session("nobody")), Partial())


async def test_tokens_are_joined_but_thinking_stays_apart() -> None:
    words = [f"word{n} " for n in range(300)]
    platform = Platform(
        legs=[says(token("Hm, ", "thinking"), *(token(word) for word in words), response("".join(words)))]
    )
    run = FakeAttempt(slowness=0.005)
    async with turns_on(platform) as turns:
        await done(turns, run)
    assert run.streamed == "".join(words)
    assert [data["chunk"] for data in run.named("chat.stream") if data["content_type"] == "thinking"] == ["Hm, "]
    assert len(run.named("chat.stream")) < 100
    checked_numbers(run)


async def test_the_first_token_does_not_wait_for_the_second() -> None:
    run = FakeAttempt()

    async def leg(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, token("One"))
        await run.spoken.wait()
        await send_lines(stream, token(" two"), response("One two"))
        await end_stream(stream)

    async with turns_on(Platform(legs=[leg])) as turns:
        await done(turns, run)
    assert [data["chunk"] for data in run.named("chat.stream")] == ["One", " two"]
    checked_numbers(run)


@pytest.mark.parametrize(
    "messages",
    [
        [response("All at once")],
        [token("Hm", "thinking"), response("All at once")],
        [token("", is_last=True), response("All at once")],
        [{"type": "agent.status", "payload": {"status": "working"}}, response("All at once")],
    ],
)
async def test_an_answer_that_was_not_streamed_is_streamed_in_one_piece(messages: list[dict[str, object]]) -> None:
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(*messages)])) as turns:
        await done(turns, run)
    assert run.streamed == "All at once"
    checked_numbers(run)


async def test_the_last_token_is_not_held_for_long() -> None:
    run = FakeAttempt()

    async def leg(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, token("Done", is_last=True))
        await run.spoken.wait()
        await send_lines(stream, response("Done"))
        await end_stream(stream)

    async with turns_on(Platform(legs=[leg])) as turns:
        await done(turns, run)
    assert [data["chunk"] for data in run.named("chat.stream")] == ["Done", ""]
    checked_numbers(run)


async def cut(_: Asked, stream: trio.SocketStream) -> None:
    await begin_stream(stream)
    await send_lines(stream, token("Half an ans"))
    await stream.aclose()


async def failing(_: Asked, stream: trio.SocketStream) -> None:
    await reply(stream, {"error": {"code": "AGEX_5"}}, 500)


async def test_tries_before_an_answer_begins_are_one_execution_under_one_key() -> None:
    async def broken(_: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    platform = Platform(legs=[failing, broken, cut, failing, says(response("Whole"))])
    async with turns_on(platform) as turns:
        await done(turns, FakeAttempt())
    executions = [
        (asked.headers["idempotency-key"], asked.body["payload"]["task_id"]) for asked in platform.calls("/execute")
    ]
    assert len(executions) == 5
    assert all(key == execution_id for key, execution_id in executions)
    assert executions[0] == executions[1] == executions[2]
    assert executions[2] != executions[3]
    assert executions[3] == executions[4]


async def test_tokens_that_did_not_come_are_counted_and_the_answer_is_whole() -> None:
    numbered = [token(text) | {"metadata": {"sequence": number}} for number, text in ((4, "Hel"), (7, "lo"))]
    run, metrics = FakeAttempt(), Metrics()
    async with turns_on(Platform(legs=[says(*numbered, response("Hello"))]), metrics) as turns:
        outcome = await done(turns, run)
    assert outcome.answer.content == "Hello"
    assert 'messages_missing_total{service="agent_execution"} 2.0' in metrics.render("")[0].decode()


async def test_messages_and_tokens_of_unknown_kinds_are_passed_over() -> None:
    platform = Platform(
        legs=[
            says(
                {"type": "agent.mood", "payload": 5},
                token("Hel"),
                token("la la", "song"),
                {"type": {"domain": "agent", "action": "mood"}},
                token("lo"),
                {"type": "agent.token", "payload": {"content_type": "picture", "url": "x"}},
                response("Hello"),
            )
        ]
    )
    run, metrics = FakeAttempt(), Metrics()
    async with turns_on(platform, metrics) as turns:
        outcome = await done(turns, run)
    assert outcome.answer.content == run.streamed == "Hello"
    assert 'messages_passed_over_total{service="agent_execution"} 4.0' in metrics.render("")[0].decode()
    checked_numbers(run)


async def test_a_turn_is_answered_by_server_sent_events_that_the_network_cuts_anywhere() -> None:
    told = b"".join(
        b": still there\r\nevent: message\r\ndata: %b\r\n\r\n" % json.dumps(one, ensure_ascii=False).encode()
        for one in (token("Hm", "thinking"), token("Hel"), token("lo \U0001f600"), response("Hello \U0001f600"))
    )
    raw = b"\xef\xbb\xbf" + told + b"data: [DONE]\r\n\r\n"
    pieces = [raw[at : at + 7] for at in range(0, len(raw), 7)]
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(*pieces)])) as turns:
        outcome = await done(turns, run)
    assert outcome.answer.content == run.streamed == "Hello \U0001f600"
    checked_numbers(run)


async def test_an_unknown_message_may_follow_the_last_one() -> None:
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(response("Hello"), {"type": "agent.mood"})])) as turns:
        await done(turns, run)
    assert run.streamed == "Hello"


async def test_an_answer_all_in_unknown_tokens_is_streamed_as_a_whole() -> None:
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(token("la", "song"), response("All at once"))])) as turns:
        await done(turns, run)
    assert run.streamed == "All at once"


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        ([r"Hi \ud83d", r"\ude00!"], "Hi 😀!"),
        ([r"\ud83d", "", r"\ude00\ud83d", r"\ude01"], "😀😁"),
        ([r"a\ud83d", "b"], "a�b"),
        ([r"a\ude00", "b"], "a�b"),
        ([r"a\ud83d\ud83d", r"\ude00"], "a�😀"),
        ([r"a\ud83d"], "a�"),
        (["a\\\\ud83d"], r"a\ud83d"),
    ],
)
async def test_a_character_that_is_split_between_tokens_is_joined(tokens: list[str], shown: str) -> None:
    lines = [b'{"type": "agent.token", "payload": {"token": "%b"}}\n' % text.encode() for text in tokens]
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(*lines, response("x"))])) as turns:
        await done(turns, run)
    assert run.streamed == shown
    checked_numbers(run)


async def test_halves_of_characters_are_no_reason_to_lose_any_other_message() -> None:
    lines = [
        b'{"type": "agent.token", "payload": {"token": "\\ud83d", "content_type": "thinking"}}\n',
        b'{"type": "agent.status", "payload": {"status": "\\ude00"}}\n',
        b'{"type": "agent.token", "payload": {"token": "\\ude00", "is_last": true, "x\\ud83d": "\\ud83d"}}\n',
        b'{"type": "agent.response", "payload": {"response": "a\\ud83d", "sources": [{"\\ud83d": ["\\ude00"]}]}}\n',
    ]
    run = FakeAttempt()
    async with turns_on(Platform(legs=[says(*lines)])) as turns:
        outcome = await done(turns, run)
    assert outcome.answer.content == "a�"
    assert outcome.answer.sources == [{"�": ["�"]}]
    assert run.streamed == "�"
    thought = [data["chunk"] for data in run.named("chat.stream") if data["content_type"] == "thinking"]
    assert "".join(thought) == "�"


async def test_a_cut_stream_is_tried_again_after_a_reset() -> None:
    platform = Platform(legs=[cut, says(token("Whole"), response("Whole"))])
    run = FakeAttempt()
    async with turns_on(platform) as turns:
        await done(turns, run)
    assert run.streamed == "Whole"
    assert run.named("chat.stream_reset") == [{"parent_message_id": "m1", "attempt": 1}]
    checked_numbers(run)
    first, second = platform.calls("/execute")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_nothing_is_reset_where_nothing_was_streamed() -> None:
    async def away(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {}, 503)

    run = FakeAttempt()
    async with turns_on(Platform(legs=[away, says(token("Back"), response("Back"))])) as turns:
        await done(turns, run)
    assert run.streamed == "Back"
    assert run.named("chat.stream_reset") == []


async def test_without_agent_execution_the_turn_fails_with_what_was_wrong() -> None:
    async with turns_on(Platform(away={"agent_execution"})) as turns:
        with pytest.raises(BadGateway, match="Agent Execution failed with 503"):
            await turns.run(FakeAttempt(), Partial())


@pytest.mark.parametrize(("passing", "kind"), [(False, ServiceRefused), (True, ReportedFailure)])
async def test_an_agent_that_gives_up_is_not_asked_again_in_the_same_attempt(
    passing: bool, kind: type[ServiceFault]
) -> None:
    error = {"code": "AGEX_9", "message": "No model.", "retryable": passing}
    platform = Platform(legs=[says(token("Er"), {"type": "agent.error", "error": error})])
    async with turns_on(platform) as turns:
        with pytest.raises(kind) as caught:
            await turns.run(FakeAttempt(), Partial())
    assert caught.value.retryable is passing
    assert [fault.message for fault in caught.value.details] == ["AGEX_9: No model."]
    assert len(platform.calls("/execute")) == 1


@pytest.mark.parametrize(
    "messages",
    [
        [token("x")],
        [],
        [{"type": "agent.surprise", "payload": {}}],
        [{"payload": {}}],
        [{"type": "agent.response", "payload": {"answer": 1}}],
        [{"type": "agent.response", "payload": {"response": "x", "total_tokens": "many"}}],
        [{"type": "agent.token", "payload": {"token": 5}}],
        [{"type": "agent.token", "payload": {"token": "x", "content_type": "song"}}],
        [{"type": "agent.tool_request", "payload": {"tool_id": "x"}}],
        [response("x"), token("more")],
        [b"not JSON\n"],
    ],
)
async def test_a_malformed_stream_is_the_agents_fault_and_not_repeated(messages: list[object]) -> None:
    platform = Platform(legs=[says(*messages)])
    async with turns_on(platform) as turns:
        with pytest.raises(InvalidAnswer) as caught:
            await turns.run(FakeAttempt(), Partial())
    assert not caught.value.retryable
    assert len(platform.calls("/execute")) == 1


async def test_a_turn_has_a_deadline() -> None:
    async def hang(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, token("So"))
        await trio.sleep_forever()

    platform = Platform(legs=[hang])
    async with turns_on(platform) as turns:
        with pytest.raises(PlanTimeout, match="600 ms"):
            await turns.run(FakeAttempt(message=a_message(timeout_ms=600)), Partial())
    assert len(platform.calls("/cancel")) == 1


class StuckAttempt(FakeAttempt):
    """One whose log takes nothing of the answer, as while Redis is away."""

    async def emit(self, name: str, data: object) -> None:
        if name == "chat.stream":
            await trio.sleep_forever()
        await super().emit(name, data)


async def test_a_log_that_takes_nothing_does_not_hold_a_turn_beyond_its_deadline() -> None:
    platform, run = Platform(), StuckAttempt(message=a_message(timeout_ms=600))
    async with turns_on(platform) as turns:
        with trio.fail_after(PATIENCE), pytest.raises(PlanTimeout, match="The turn was not finished within 600 ms"):
            await turns.run(run, Partial())
    assert len(platform.calls("/cancel")) == 1


async def test_a_later_attempt_starts_the_answer_over() -> None:
    run = FakeAttempt(attempt=2)
    async with turns_on(Platform()) as turns:
        await done(turns, run)
    names = [name for name, _ in run.events]
    assert names.index("chat.stream_reset") < names.index("chat.stream")
    assert run.named("chat.stream_reset")[0]["attempt"] == 2
    checked_numbers(run)


async def test_an_executed_answer_is_stored_once_and_never_executed_again() -> None:
    platform = Platform()
    async with turns_on(platform) as turns:
        run = FakeAttempt()
        first = await done(turns, run)
        second_run = run.next_attempt()
        second = await done(turns, second_run)
    assert second.answer.message_id == first.answer.message_id
    assert second.agent_version == "3"
    assert len(platform.calls("/execute")) == 1
    assert len(platform.stored) == 2
    assert [name for name, _ in second_run.events] == ["chat.status_update"]


async def test_a_fenced_turn_emits_nothing_more() -> None:
    platform = Platform(legs=[cut])
    async with turns_on(platform) as turns:
        with pytest.raises(FencedOut):
            await turns.run(FakeAttempt(fenced=True), Partial())
    assert platform.calls("/cancel") == []


async def test_a_tool_is_run_and_its_result_handed_over() -> None:
    platform = Platform(
        legs=[
            says(token("Let me see: "), tool_request("t1", "calculator", x=6)),
            says(token("42"), response("Let me see: 42")),
        ]
    )
    run = FakeAttempt()
    async with turns_on(platform) as turns:
        await done(turns, run)
    assert run.streamed == "Let me see: 42"
    checked_numbers(run)
    (started,) = run.named("tool.started")
    assert started == {"tool_call_id": "t1", "parent_message_id": "m1", "tool_id": "calculator", "params": {"x": 6}}
    (result,) = run.named("tool.result")
    assert (result["tool_call_id"], result["parent_message_id"]) == ("t1", "m1")
    assert (result["result"]["status"], result["result"]["data"]) == ("success", 42)
    assert platform.calls("/tools/execute")[0].body["payload"] == {"tool_id": "calculator", "parameters": {"x": 6}}
    (handed,) = platform.calls("/tool_result")
    execution = platform.calls("/execute")[0].body["payload"]["task_id"]
    assert handed.path == f"/api/v1/tasks/{execution}/tool_result"
    assert handed.body["payload"]["result"] == 42


async def test_a_tool_that_fails_is_told_to_the_agent() -> None:
    platform = Platform(
        legs=[says(tool_request("t1", "calculator")), says(response("Sorry"))],
        tool={"status": "error", "error_message": "Division by zero."},
    )
    run = FakeAttempt()
    async with turns_on(platform) as turns:
        await done(turns, run)
    assert platform.calls("/tool_result")[0].body["payload"]["error_message"] == "Division by zero."
    assert run.named("tool.result")[0]["result"]["status"] == "error"


async def test_a_broken_leg_keeps_what_finished_legs_have_said() -> None:
    platform = Platform(
        legs=[
            says(token("Let me see: "), tool_request("t1", "calculator")),
            cut,
            says(token("42"), response("Let me see: 42")),
        ]
    )
    run = FakeAttempt()
    async with turns_on(platform) as turns:
        await done(turns, run)
    assert run.streamed == "Let me see: 42"
    assert len(platform.calls("/tools/execute")) == 1
    checked_numbers(run)


async def test_an_agent_can_not_ask_for_tools_for_ever() -> None:
    platform = Platform(legs=[says(tool_request("t1", "calculator"))])
    async with turns_on(platform) as turns:
        with pytest.raises(ServiceRefused, match="more than 16 tools"):
            await turns.run(FakeAttempt(), Partial())
    assert len(platform.calls("/tools/execute")) == 16
    [told] = platform.calls("/cancel")
    assert told.body["metadata"]["reason_code"] == "error"


def client_answer(tool_call_id: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """What a client's result leaves in the record."""
    return {f"answer:{tool_call_id}": {"status": "completed", "result": outcome}}


def asks_client() -> Platform:
    return Platform(
        client_tools=["confirm"],
        legs=[
            says(token("Shall I? "), tool_request("t1", "confirm", question="?")),
            says(token("Done."), response("Shall I? Done.")),
        ],
    )


async def test_a_turn_waits_for_a_client_tool_and_its_result_continues_it() -> None:
    platform, run = asks_client(), FakeAttempt()
    async with turns_on(platform) as turns:
        waiting = await turns.run(run, Partial())
        asked = {"tool_id": "confirm", "params": {"question": "?"}}
        assert waiting == TurnWaiting((Wait("t1", WaitKind.CLIENT_TOOL, 60_000, asked),))
        resumed = run.next_attempt(**client_answer("t1", {"status": "success", "data": {"yes": True}}))
        resumed.events = list(run.events)
        outcome = await done(turns, resumed)
    assert outcome.answer.content == "Shall I? Done."
    assert resumed.streamed == "Shall I? Done."
    assert resumed.named("chat.stream_reset") == []
    checked_numbers(resumed)
    assert platform.calls("/tool_result")[0].body["payload"]["result"] == {"yes": True}
    assert len(platform.calls("/execute")) == 1
    assert len(platform.stored) == 2
    assert len(platform.calls("/messages")) == 2


async def test_a_client_is_told_what_each_tool_does_that_it_is_to_run() -> None:
    platform, run = asks_client(), FakeAttempt()
    platform.legs.insert(1, says(token("And? "), tool_request("t2", "confirm", question="!")))
    platform.tools = [{"tool_id": "confirm", "name": "Confirm", "description": "Asks."}, {"tool_id": "calculator"}]
    async with turns_on(platform) as turns:
        for call_id in ("t1", "t2"):
            waiting = await turns.run(run, Partial())
            assert isinstance(waiting, TurnWaiting)
            [wait] = waiting.waits
            assert wait.request is not None
            assert (wait.call_id, wait.request["description"]) == (call_id, "Asks.")
            run = run.next_attempt(**client_answer(call_id, {"status": "success"}))


async def test_a_worker_lost_before_the_turn_waited_asks_the_client_again() -> None:
    platform, run = asks_client(), FakeAttempt()
    async with turns_on(platform) as turns:
        waiting = await turns.run(run, Partial())
        again = run.next_attempt()
        assert await turns.run(again, Partial()) == waiting
        assert again.named("chat.stream") == again.named("chat.stream_reset") == []
        resumed = again.next_attempt(**client_answer("t1", {"status": "success"}))
        assert (await done(turns, resumed)).answer.content == "Shall I? Done."
    assert resumed.named("chat.stream_reset") == []
    assert len(platform.calls("/execute")) == 1


async def test_a_turn_whose_resumption_broke_says_again_what_was_said() -> None:
    platform, run = asks_client(), FakeAttempt()
    platform.legs.insert(1, cut)
    async with turns_on(platform) as turns:
        await turns.run(run, Partial())
        broken = run.next_attempt(**client_answer("t1", {"status": "error", "error_message": "No time."}))
        with trio.move_on_after(0.1):
            await turns.run(broken, Partial())
        final = broken.next_attempt()
        await done(turns, final)
    assert final.streamed == "Shall I? Done."
    assert len(final.named("chat.stream_reset")) == 1
    checked_numbers(final)


def endless() -> tuple[Platform, trio.Event]:
    reached = trio.Event()

    async def leg(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, token("What I have said"))
        reached.set()
        await trio.sleep_forever()

    return Platform(legs=[leg]), reached


async def test_a_stopped_turn_keeps_what_it_said_marked_as_interrupted() -> None:
    platform, reached = endless()
    run, partial = FakeAttempt(), Partial()
    async with turns_on(platform) as turns, trio.open_nursery() as nursery:
        nursery.start_soon(turns.run, run, partial)
        await reached.wait()
        await run.spoken.wait()
        run.stopped_by = CancelledBy.USER
        nursery.cancel_scope.cancel()
    assert partial.answer is not None
    assert partial.answer.content == "What I have said"
    assert partial.conversation_id == "s1"
    assert [(said["role"], said["content"]) for said in platform.stored.values()] == [
        ("user", "Hello"),
        ("assistant", "What I have said"),
    ]
    assert [*platform.stored.values()][1]["metadata"]["interrupted"] is True
    assert len(platform.calls("/cancel")) == 1


@pytest.mark.parametrize(
    ("who", "code", "words"),
    [
        (CancelledBy.USER, "user_requested", "the user asked for it"),
        (CancelledBy.OPERATOR, "system", "an operator has stopped it"),
        (CancelledBy.SYSTEM, "system", "the task has ended"),
        (None, "system", "the task has ended"),
    ],
)
async def test_agent_execution_is_told_who_has_stopped_a_turn(who: CancelledBy | None, code: str, words: str) -> None:
    platform, reached = endless()
    run = FakeAttempt()
    async with turns_on(platform) as turns, trio.open_nursery() as nursery:
        nursery.start_soon(turns.run, run, Partial())
        await reached.wait()
        run.stopped_by = who
        nursery.cancel_scope.cancel()
    [told] = platform.calls("/cancel")
    assert (told.body["metadata"]["reason_code"], told.body["payload"]["reason"]) == (code, words)


async def test_a_turn_that_is_handed_back_stores_no_answer() -> None:
    platform, reached = endless()
    partial = Partial()
    async with turns_on(platform) as turns, trio.open_nursery() as nursery:
        nursery.start_soon(turns.run, FakeAttempt(), partial)
        await reached.wait()
        nursery.cancel_scope.cancel()
    assert partial.answer is None
    assert len(platform.calls("/cancel")) == 1
    assert all(said["role"] == "user" for said in platform.stored.values())


async def test_a_goodbye_does_not_wait_for_services_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.services.chat.chat_turn.GOODBYE_SECONDS", 0.2)
    monkeypatch.setattr("orchestrator.services.chat.turn_execution._CANCEL_SECONDS", 0.2)
    platform, reached = endless()
    run, partial = FakeAttempt(), Partial()
    async with turns_on(platform) as turns, trio.open_nursery() as nursery:
        nursery.start_soon(turns.run, run, partial)
        await reached.wait()
        await run.spoken.wait()
        run.stopped_by, platform.hangs = CancelledBy.USER, True
        nursery.cancel_scope.cancel()
        nursery.cancel_scope.deadline = trio.current_time() + PATIENCE
    assert partial.answer is not None


async def test_a_hanging_tool_list_does_not_hold_the_turn_for_ever() -> None:
    platform = Platform(hanging={"/api/v1/tools"})
    async with turns_on(platform) as turns:
        with trio.fail_after(PATIENCE):
            outcome = await done(turns, FakeAttempt())
    assert outcome.answer.degraded == ["tool_registry"]


async def one_cancelled_turn(steps: int) -> None:
    platform, run, partial = Platform(), FakeAttempt(), Partial()
    async with turns_on(platform) as turns:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.run, run, partial)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            run.stopped_by = CancelledBy.USER
            nursery.cancel_scope.cancel()
        stored = [*platform.stored.values()]
        assert [said["role"] for said in stored] in (["user"], ["user", "assistant"])
        if partial.answer is None:
            assert len(stored) == 1 or "execute" in run.kept
        else:
            assert partial.answer.content in {"Hello ", "Hello Ana"}
            assert stored[1]["content"] == partial.answer.content
        following = FakeAttempt(message=evolve(a_message(), task_id="task-2"))
        assert (await done(turns, following)).answer.content == "Hello Ana"


@pytest.mark.parametrize("block", range(6))
async def test_a_turn_can_be_cancelled_at_each_of_its_awaits(block: int) -> None:
    for steps in range(block * 25, block * 25 + 25):
        with trio.fail_after(PATIENCE):
            await one_cancelled_turn(steps)


async def test_a_turn_that_begins_again_stays_with_the_version_it_began_with() -> None:
    platform, first = Platform(legs=[cut, says(response("Hello"))]), FakeAttempt()
    async with turns_on(platform) as turns:
        await done(turns, first)
        assert first.kept["agent_version"] == {"agent_id": "echo", "version": "3"}
        again = FakeAttempt(attempt=2, checkpoints={"agent_version": {"agent_id": "echo", "version": "2"}})
        outcome = await done(turns, again)
    assert outcome.agent_version == "2"
    assert platform.calls("/execute")[-1].body["payload"]["agent_config"]["version"] == "2"
    assert "agent_version" not in again.kept


async def test_a_busy_session_may_be_bound_to_a_version() -> None:
    platform, run = Platform(), FakeAttempt(session=evolve(a_busy_session(), pinned_version="1"))
    async with turns_on(platform) as turns:
        outcome = await done(turns, run)
    assert outcome.agent_version == "1"


async def test_a_question_is_stored_beside_the_execution_and_not_before() -> None:
    platform = Platform(conversations={"c7"})
    async with turns_on(platform) as turns:
        await done(turns, FakeAttempt(session=a_busy_session(conversation_id="c7")))
    paths = [asked.path for asked in platform.asked]
    assert paths.index("/api/v1/internal/context/c7") < paths.index("/api/v1/conversations/c7/messages")
    assert len(platform.stored) == 2
