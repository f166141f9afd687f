"""What is printed fits the terminal and its encoding."""

import io
import sys

import pytest

from cli.display.glyphs import clean, prepare_streams
from cli.display.layout import fitting
from cli.display.yaml_text import yaml_text


def test_columns_of_the_highest_rank_give_way_first() -> None:
    assert fitting([10, 8, 6, 6], [0, 1, 3, 2], 33) == [0, 1, 2, 3]
    assert fitting([10, 8, 6, 6], [0, 1, 3, 2], 32) == [0, 1, 3]
    assert fitting([10, 8, 6, 6], [0, 1, 3, 2], 20) == [0, 1]
    assert fitting([10, 8, 6, 6], [0, 0, 0, 0], 5) == [0, 1, 2, 3]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_character_stops_the_output(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    prepare_streams()
    sys.stdout.write("reconnecting … → ⚙ é 日本 █\n")
    sys.stdout.flush()
    shown = written.getvalue().decode(encoding)
    plain = shown.replace("…", "...").replace("→", "->").replace("⚙", "*").replace("█", "#")
    assert plain.startswith("reconnecting ... -> * ")


def test_an_argument_that_is_no_text_is_replaced() -> None:
    assert clean(b"ol\xe9".decode("utf-8", "surrogateescape")) == "ol\ufffd"
    assert clean("日本") == "日本"


def test_yaml_is_block_style_with_strings_that_stay_strings() -> None:
    record = {
        "name": "acme",
        "on": True,
        "word": "yes",
        "number": "12",
        "none": None,
        "list": [{"a": 1, "b": []}, "x y"],
    }
    assert yaml_text(record) == (
        'name: acme\n"on": true\nword: "yes"\nnumber: "12"\nnone: null\nlist:\n  - a: 1\n    b: []\n  - "x y"\n'
    )
    assert yaml_text([]) == "[]\n"
    assert yaml_text({"text": "a: b\n#c é"}) == 'text: "a: b\\n#c é"\n'
