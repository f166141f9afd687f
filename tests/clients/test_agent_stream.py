"""Streams of agents, cut by the agent and by the network wherever that may be."""

import json
from collections.abc import Callable
from itertools import cycle, pairwise
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.agent_execution import GAP, AgentStream
from orchestrator.errors import BadGateway, InvalidAnswer, ReportedFailure, ServiceFault, ServiceRefused
from orchestrator.models.agents.agent import AgentPiece, AgentResponse, AgentToken
from orchestrator.models.events.events import StreamContent
from tests.support.scripted_server import response, token

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("😀😁🏳️‍🌈é€"), max_size=20)


class FakePieces:
    """Pieces of an answer, from a list."""

    service = "agent_execution"

    def __init__(self, pieces: list[bytes], *, framed: bool = True) -> None:
        self._pieces = pieces
        self.framed = framed

    async def receive(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else None


async def read(stream: AgentStream) -> list[AgentPiece]:
    found: list[AgentPiece] = []
    while not found or not isinstance(found[-1], AgentResponse):
        found += await stream.receive()
    await stream.finish()
    return found


def said(pieces: list[AgentPiece], content_type: StreamContent = StreamContent.RESPONSE) -> str:
    tokens = [piece for piece in pieces if isinstance(piece, AgentToken)]
    return "".join(piece.text for piece in tokens if piece.content_type is content_type)


def cut(whole: Any, places: list[int]) -> list[Any]:
    bounds = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[start:end] for start, end in pairwise(bounds)]


def units(text: str) -> str:
    """Return a text as UTF-16 units, as a program sees it that knows no others."""
    raw = text.encode("utf-16-le")
    return "".join(chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2))


@given(TEXT, TEXT, st.lists(st.integers(0, 999), max_size=9), st.lists(st.integers(0, 9999), max_size=9))
def test_an_answer_is_whole_wherever_agent_and_network_cut_it(
    text: str, thought: str, cuts: list[int], chunks: list[int]
) -> None:
    tokens = [(part, "response") for part in cut(units(text), cuts)]
    for number, part in enumerate(cut(units(thought), cuts)):
        tokens.insert(2 * number, (part, "thinking"))
    # `ensure_ascii` writes each half as an escape of its own.
    lines = [json.dumps(token(part, content_type)).encode() for part, content_type in tokens]
    raw = b"\n".join([*lines, json.dumps(response("done")).encode()])
    pieces = trio.run(read, AgentStream(FakePieces(cut(raw, chunks))))
    assert said(pieces) == text
    assert said(pieces, StreamContent.THINKING) == thought


@given(st.lists(st.text(st.sampled_from("a\ud83d\ude00\udfff"), max_size=4), max_size=6))
def test_what_comes_out_is_always_text(tokens: list[str]) -> None:
    lines = [json.dumps(token(part)).encode() + b"\n" for part in tokens]
    pieces = trio.run(read, AgentStream(FakePieces([*lines, json.dumps(response("done")).encode()])))
    joined = "".join(tokens).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert said(pieces) == joined


@pytest.mark.parametrize(("framed", "kind"), [(True, InvalidAnswer), (False, BadGateway)])
async def test_an_end_without_answer_is_the_agents_fault_unless_the_connection_may_have_broken(
    framed: bool, kind: type[ServiceFault]
) -> None:
    line = json.dumps(token("Half")).encode()
    stream = AgentStream(FakePieces([line], framed=framed))
    await stream.receive()
    with pytest.raises(kind, match="without an answer"):
        await stream.receive()
    stream = AgentStream(FakePieces([line[:-5]], framed=framed))
    with pytest.raises(kind):
        await stream.receive()


async def test_unknown_kinds_are_counted_within_a_bound() -> None:
    lines = [json.dumps({"type": f"agent.{number % 30}"}).encode() + b"\n" for number in range(60)]
    stream = AgentStream(FakePieces([b"".join(lines), json.dumps(response("done")).encode()]))
    await read(stream)
    assert len(stream.passed_over) == 9
    assert sum(stream.passed_over.values()) == 60


async def test_what_an_agent_names_a_kind_is_fit_for_a_log() -> None:
    line = b'{"type": "agent.\\ud83d\\u0000\\n' + b"x" * 500 + b'"}\n'
    stream = AgentStream(FakePieces([line, json.dumps(response("done")).encode()]))
    await read(stream)
    (name,) = stream.passed_over
    assert name.isascii()
    assert name.isprintable()


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 10**18, 10**18 + 2], GAP + 1),
        ([0, 1, 2], 0),
        ([15, 16, 20, 21], 3),
        ([1, 3, 2, 4], 1),
        ([7, 7, 7], 0),
        ([1, None, 2, "9", True, -4, 3], 0),
        ([], 0),
    ],
)
async def test_messages_that_do_not_come_are_told_by_the_numbers_of_the_others(
    numbers: list[Any], missing: int
) -> None:
    kinds = cycle(["response", "tool_call", "of-a-later-version"])
    lines = [
        json.dumps(token("x", kind) | {"metadata": {"sequence": number}}).encode() + b"\n"
        for number, kind in zip(numbers, kinds, strict=False)
    ]
    stream = AgentStream(FakePieces([*lines, json.dumps(response("done") | {"metadata": []}).encode()]))
    pieces = await read(stream)
    assert stream.missing == missing
    assert isinstance(pieces[-1], AgentResponse)


MESSAGES: list[dict[str, Any]] = [token("Hel"), token("lo 😀"), response("Hello 😀")]


def as_event(one: dict[str, Any], name: str) -> str:
    """Write a message as an event that says its type, with its data over many lines."""
    data = json.dumps({"payload": one["payload"]}, indent=1).split("\n")
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in data) + "\n"


def action_of(one: dict[str, Any]) -> str:
    return str(one["type"]["action"]) if isinstance(one["type"], dict) else str(one["type"]).removeprefix("agent.")


WRITTEN: dict[str, Callable[[dict[str, Any]], str]] = {
    "a line each": lambda one: f"{json.dumps(one)}\n",
    "lines of another system": lambda one: f"{json.dumps(one, ensure_ascii=False)}\r\n",
    "indented": lambda one: f"{json.dumps(one, ensure_ascii=False, indent=2)}\n",
    "events": lambda one: f"data: {json.dumps(one, ensure_ascii=False)}\n\n",
    "events with fields": lambda one: f": still there\nid: 1\nretry: 9\nevent: message\ndata:{json.dumps(one)}\r\n\r\n",
    "events named by their type": lambda one: as_event(one, f"agent.{action_of(one)}"),
    "events named by their action": lambda one: as_event(one, action_of(one)),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
@pytest.mark.parametrize("last", ["", "data: [DONE]\n\n"], ids=["at-once", "done"])
async def test_an_answer_is_read_however_its_messages_are_written(written: str, mark: str, last: str) -> None:
    raw = (mark + "".join(WRITTEN[written](one) for one in MESSAGES) + last).encode()
    for pieces in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        found = await read(AgentStream(FakePieces(pieces)))
        assert (said(found), len(found)) == ("Hello 😀", 3)


FAILURES: list[tuple[dict[str, Any], bool]] = [
    ({"error": {"code": "X", "message": "no", "retryable": True}}, True),
    ({"error": {"code": "X", "message": "no", "retry_suggested": True}}, True),
    ({"metadata": {"error": {"code": "X", "message": "no", "retry_allowed": True}}}, True),
    ({"error": {"code": "X", "message": "no", "context": {"retryable": True}}}, True),
    ({"metadata": {"error_code": "X", "recovery_action": "retry"}, "payload": {"error_message": "no"}}, True),
    ({"payload": {"error_code": "X", "error_message": "no", "retryable": False}}, False),
    ({"code": "X", "message": "no", "retryable": True}, True),
    ({"code": "X", "message": "no"}, False),
]


@pytest.mark.parametrize(("told", "retryable"), FAILURES)
@pytest.mark.parametrize("event", ["", "event: error\ndata: "], ids=["line", "event"])
async def test_a_failure_in_a_stream_says_what_a_later_try_is_worth(
    told: dict[str, Any], retryable: bool, event: str
) -> None:
    kind = {} if event else {"type": {"domain": "agent", "action": "error"}}
    raw = f"{event}{json.dumps(kind | told)}\n\n".encode()
    with pytest.raises((ServiceRefused, ReportedFailure)) as raised:
        await read(AgentStream(FakePieces([raw])))
    assert (raised.value.details[0].message, raised.value.retryable) == ("X: no", retryable)
