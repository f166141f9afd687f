"""The bounded outbox: what waits keeps its order and its text, however much of it is joined."""

from itertools import groupby
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.models.events.events import Event
from orchestrator.store.events.outbox import MAX_JOINED_CHARS, Outbox, join_chunks

# How fast examples come says nothing here: the machine may be busy with other tests.
unhurried = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def chunk(offset: int, text: str, *, parent: str = "m", kind: str = "response", final: bool = False) -> Event:
    data = {
        "parent_message_id": parent,
        "sequence_number": offset,
        "chunk": text,
        "content_type": kind,
        "is_final": final,
    }
    return Event(offset, "e", "chat.stream", orjson.dumps({"data": data, "tenant_id": "t"}))


def other(offset: int, name: str = "chat.status_update") -> Event:
    return Event(offset, "e", name, orjson.dumps({"data": {"n": offset}}))


def data_of(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(event.body)["data"]
    return data


def texts(events: list[Event]) -> list[tuple[str, str, str]]:
    """Return the text of each answer between things that are no chunks: what a reader would show."""
    shown: list[tuple[str, str, str]] = []
    for event in events:
        if event.name != "chat.stream":
            shown.append(("", "", event.name + str(event.offset)))
            continue
        data = data_of(event)
        shown.append((data["parent_message_id"], data["content_type"], data["chunk"]))
    return [
        (parent, kind, "".join(text for _, _, text in group))
        for (parent, kind), group in groupby(shown, key=lambda row: row[:2])
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    events = []
    for offset in range(1, draw(st.integers(0, 30)) + 1):
        if draw(st.integers(0, 9)) == 0:
            events.append(other(offset))
        else:
            parent, kind = draw(st.sampled_from("ab")), draw(st.sampled_from(("response", "thinking")))
            events.append(chunk(offset, draw(st.text(max_size=5)), parent=parent, kind=kind))
    return events


@unhurried
@given(logs())
def test_joining_never_changes_the_text_nor_the_order(events: list[Event]) -> None:
    joined = join_chunks(events)
    assert texts(joined) == texts(events)
    assert [event.offset for event in joined] == sorted(event.offset for event in joined)
    assert [event for event in joined if event.name != "chat.stream"] == [
        event for event in events if event.name != "chat.stream"
    ]
    assert not events or joined[-1].offset == events[-1].offset


@unhurried
@given(logs(), st.integers(1, 8), st.lists(st.integers(0, 4), max_size=30))
def test_the_bound_holds_and_nothing_is_lost_until_it_overflows(
    events: list[Event], capacity: int, takes: list[int]
) -> None:
    outbox: Outbox[Event] = Outbox(capacity)
    taken: list[Event] = []
    pushed: list[Event] = []
    for event, take in zip(events, takes + [0] * len(events), strict=False):
        if not outbox.push(event):
            break
        pushed.append(event)
        assert len(outbox) <= capacity
        taken += outbox.take(take)
    taken += outbox.take(capacity)
    assert texts(taken) == texts(pushed)
    assert len(outbox) == 0


def test_a_joined_chunk_carries_the_last_offset_and_number_and_the_final_mark() -> None:
    (joined,) = join_chunks([chunk(4, "Hel"), chunk(5, "lo"), chunk(6, "!", final=True)])
    assert joined.offset == 6
    assert data_of(joined)["chunk"] == "Hello!"
    assert data_of(joined)["sequence_number"] == 6
    assert data_of(joined)["is_final"]
    assert joined.body.startswith(b'{"data":{')


def test_nothing_is_joined_beyond_the_end_of_an_answer() -> None:
    assert len(join_chunks([chunk(1, "a", final=True), chunk(2, "b")])) == 2


def test_chunks_of_other_answers_and_kinds_stay_apart() -> None:
    events = [chunk(1, "a", parent="x"), chunk(2, "b", parent="y"), chunk(3, "c", parent="y", kind="thinking")]
    assert join_chunks(events) == events


def test_a_joined_chunk_does_not_grow_without_bound() -> None:
    half = "x" * (MAX_JOINED_CHARS // 2)
    assert len(join_chunks([chunk(offset, half) for offset in range(1, 6)])) == 3


def test_a_full_outbox_without_chunks_overflows() -> None:
    outbox: Outbox[Event] = Outbox(2)
    assert outbox.push(other(1))
    assert outbox.push(other(2))
    assert not outbox.push(other(3))
    assert [event.offset for event in outbox.take(9)] == [1, 2]


def test_bytes_are_bounded_too_but_one_event_always_fits() -> None:
    outbox: Outbox[Event] = Outbox(100, max_bytes=50)
    assert outbox.push(chunk(1, "x" * 1000))
    assert not outbox.push(other(2))
    outbox.clear()
    assert outbox.push(other(3))


def test_a_chunk_that_lacks_something_stays_as_it_is() -> None:
    odd = [Event(2, "e", "chat.stream", orjson.dumps({"data": data})) for data in ({}, {"chunk": 5}, {"chunk": "b"})]
    events = [chunk(1, "a"), *odd, chunk(5, "c")]
    assert join_chunks(events) == events
