"""Streams of JSON as services write them, cut by the network wherever that may be."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.transport.json_texts import JsonTexts

Rendering = Callable[[list[Any]], str]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a{}[]"\\:é€😀 ', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{", max_size=2), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text("ab:", max_size=3), VALUES, max_size=4), min_size=1, max_size=4)


def text(one: Any, indent: int | None = None) -> str:
    return json.dumps(one, ensure_ascii=False, indent=indent)


def lines(objects: list[Any]) -> str:
    return "".join(f"{text(one)}\n" for one in objects)


def without_last_line_end(objects: list[Any]) -> str:
    return lines(objects).removesuffix("\n")


def with_empty_lines(objects: list[Any]) -> str:
    return "\n\n" + lines(objects).replace("\n", "\n \n")


def indented(objects: list[Any]) -> str:
    return "\n".join(text(one, 2) for one in objects)


def indented_by_nothing(objects: list[Any]) -> str:
    return "".join(f"{text(one, 0)}\n" for one in objects)


def events(objects: list[Any]) -> str:
    return "".join(f"data: {text(one)}\n\n" for one in objects)


def events_without_space_and_empty_lines(objects: list[Any]) -> str:
    return "".join(f"data:{text(one)}\n" for one in objects)


def events_with_all_fields(objects: list[Any]) -> str:
    told = "".join(
        f": keep-alive\nretry: 3000\nid: {number}\nevent: x\nodd: field\ndata: {text(one)}\n\n"
        for number, one in enumerate(objects)
    )
    return f"retry\n\n{told}event: ping\ndata: 2026-01-01\n\n: bye\n\ndata: [DONE]\n\n"


def events_over_many_lines(objects: list[Any]) -> str:
    return "".join("data: " + text(one, 1).replace("\n", "\ndata: ") + "\n\n" for one in objects)


def events_without_end(objects: list[Any]) -> str:
    return events(objects).removesuffix("\n\n") + "\n\ndata: [DONE]"


RENDERINGS: list[Rendering] = [
    lines,
    without_last_line_end,
    with_empty_lines,
    indented,
    indented_by_nothing,
    events,
    events_without_space_and_empty_lines,
    events_with_all_fields,
    events_over_many_lines,
    events_without_end,
]


def texts_of(raw: bytes, cuts: list[int]) -> list[tuple[Any, str]]:
    texts = JsonTexts()
    bounds = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    found = [text for start, end in pairwise(bounds) for text in texts.feed(raw[start:end])]
    return [(orjson.loads(text), event) for text, event in [*found, *texts.end()]]


@pytest.mark.parametrize("rendering", RENDERINGS)
@given(
    objects=OBJECTS,
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
    cuts=st.lists(st.integers(0, 9999), max_size=12),
)
def test_every_object_comes_once_however_it_is_written_and_cut(
    rendering: Rendering, objects: list[Any], line_end: str, mark: str, cuts: list[int]
) -> None:
    raw = (mark + rendering(objects).replace("\n", line_end)).encode()
    assert [one for one, _ in texts_of(raw, cuts)] == objects
    assert [one for one, _ in texts_of(raw, [*range(len(raw))])] == objects


@pytest.mark.parametrize(
    "raw",
    [
        b'event: token\ndata: {"a": 1}\n\n',
        b'event:token\r\nid: 7\r\ndata:{"a": 1}\r\n\r\n',
        b'event: token\rdata: {\rdata: "a": 1}\r\r',
        b'event: token\ndata: {"a": 1}',
    ],
)
def test_the_name_of_an_event_comes_with_its_data(raw: bytes) -> None:
    assert texts_of(raw, [*range(len(raw))]) == [({"a": 1}, "token")]


def test_an_event_without_name_has_none_from_the_one_before() -> None:
    assert texts_of(b'event: token\ndata: {}\n\ndata: {"a": 1}\n\n', []) == [({}, "token"), ({"a": 1}, "")]


def test_a_whole_object_does_not_wait_for_the_empty_line_of_its_event() -> None:
    assert JsonTexts().feed(b'event: token\ndata: {"a": 1}\n') == [(b'{"a": 1}', "token")]


def test_an_indented_object_does_not_wait_for_the_next_one() -> None:
    assert JsonTexts().feed(b'{\n"a": 1\n}\n') == [(b'{\n"a": 1\n}', "")]


@pytest.mark.parametrize(
    "raw", [b"nonsense\n", b"<html>\n", b"{\n \n", b'data: {"a"\n\n', b'{"a"', b"event: x\ndata: no\n\n"]
)
def test_what_is_no_json_is_handed_on_to_be_refused(raw: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        texts_of(raw, [])


def test_what_is_held_back_is_counted() -> None:
    texts = JsonTexts()
    assert texts.feed(b'{\n"a": 1,\n"b') == []
    assert (texts.held, texts.rest) == (len(b'{"a": 1,'), b'"b')
    assert texts.feed(b'": 2\n}\ndata: [1,\ndata: 2') == [(b'{\n"a": 1,\n"b": 2\n}', "")]
    assert (texts.held, texts.rest) == (len(b"[1,"), b"data: 2")
